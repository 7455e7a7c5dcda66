"""Pictures of models that can only be reached by HTTP, and the log of the requests for them."""
