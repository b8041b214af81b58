"""Pictures in: found, read, cropped, degraded."""
