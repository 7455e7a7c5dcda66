"""Rewrite an index (remove, optimize, migrate), export it (export) or describe it (summary)."""
