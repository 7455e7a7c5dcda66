"""Which artist a picture looks like, by name or by works."""
