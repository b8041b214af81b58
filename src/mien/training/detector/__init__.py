"""Training of mien's own face detector."""
