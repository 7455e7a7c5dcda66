"""Matching, classification, statistical tests and findings for one release."""
