"""Numbers about predictions; arrays in, numbers out."""
