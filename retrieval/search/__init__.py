"""The nearest neighbours of a picture."""
