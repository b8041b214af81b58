"""Models made of trained ones, without training: several as one, or one that calculates in int8."""
