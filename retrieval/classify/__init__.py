"""Classify pictures by artist, by name or by works."""
