"""Numbers about answers; arrays in, numbers out."""
