"""Clips and cameras in, people followed, annotated clips and pages out."""
