"""How much memory a model needs, and what is done when memory runs short."""
