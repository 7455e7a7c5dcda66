"""Exact ranks of imitations for each work, and similarities between works."""
