"""Labelled faces: FER2013 in all its forms, and any tree of class folders."""
