"""Comparison of two releases, and gates on their figures."""
