"""Faces found, turned upright, judged, anonymised."""
