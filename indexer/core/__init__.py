"""What an index is, as plain data. Imports nothing of imindex."""
