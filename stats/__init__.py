"""Statistical tests and intervals on arrays. Imports nothing else from imindex."""
