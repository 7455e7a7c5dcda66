"""The commands that write or inspect an index."""
