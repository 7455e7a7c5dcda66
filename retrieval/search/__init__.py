"""Nearest neighbours of pictures and texts."""
