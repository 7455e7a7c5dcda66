"""An index in two dimensions, to look at. No finding is computed from it."""
