"""Pictures in: found, read, cropped, corrupted."""
