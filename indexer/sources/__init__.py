"""A folder, a manifest or a list of files to a stream of items."""
