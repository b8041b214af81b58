"""Several trained models as one model."""
