"""How much memory a model takes and how fast it can be, from figures alone."""
