"""Further questions that a plan may ask, each with its own pictures, tests and section of the report."""
