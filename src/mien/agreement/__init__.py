"""How well codes of clips agree: those of people with mien, or those of people with each other."""
