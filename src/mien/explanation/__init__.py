"""Where in a face its expression was read."""
