"""The commands that query, classify, test, compare and audit."""
