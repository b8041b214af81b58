"""Models: their files, and the classifier that runs them."""
