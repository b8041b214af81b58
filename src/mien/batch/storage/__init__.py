"""Object stores and mounted folders: what a run needs of both, one owner at a time, faults, listings in pages."""
