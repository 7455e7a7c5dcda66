"""Results to HTML, JSON and CSV."""
