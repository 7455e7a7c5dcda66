"""Command-line helpers shared by all commands: options, output, progress, error messages."""
