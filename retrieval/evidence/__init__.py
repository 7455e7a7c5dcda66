"""One release to figures, tests and findings."""
