"""The HTTP service and its pages, over the Python door."""
