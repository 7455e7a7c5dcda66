"""Bytes to RGB pixels to a tensor, or the reason why not."""
