"""Reports as HTML, JSON and CSV, and results as notebook fragments."""
