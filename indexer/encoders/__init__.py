"""Encode pictures, and texts if the encoder has a text side, as unit vectors. ENCODERS.md shows how to add one."""
