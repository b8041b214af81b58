"""What all rooms share: boxes, work in threads, files, text, settings, the machine."""
