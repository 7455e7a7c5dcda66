"""Exact arithmetic on arrays of unit vectors."""
