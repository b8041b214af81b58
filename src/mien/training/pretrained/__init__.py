"""Networks with weights that were learnt elsewhere, and the readers of their files."""
