"""Verify an index and its pictures, and seal an index."""
