"""Results out: rows, annotated pictures, charts, pages."""
