"""What changed between two releases, and the gate."""
