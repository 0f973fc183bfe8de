"""What the target is, and all that follows from it."""
