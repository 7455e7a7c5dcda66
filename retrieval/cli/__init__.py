"""The commands that ask an index."""
