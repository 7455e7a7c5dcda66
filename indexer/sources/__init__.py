"""Turn folders and manifests into a stream of items, and read their files."""
