"""What a model will need and how fast it will be, from its config and weight headers, without loading it."""
