"""Rewrite an index (remove, optimize, migrate) or write it out (export, summary)."""
