"""Exact arithmetic over arrays of unit vectors."""
