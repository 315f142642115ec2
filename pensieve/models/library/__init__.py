"""The models on this machine: names, aliases, imports and removal, and the one reading of a model's name."""
