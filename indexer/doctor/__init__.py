"""Check that this machine, an index and its encoder are fit for use."""
