"""Pictures, and texts where the encoder has a text side, to unit vectors."""
