"""Check that an index and its pictures are what was written; seal an index."""
