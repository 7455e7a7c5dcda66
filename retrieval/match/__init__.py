"""Works against imitations: exact ranks."""
