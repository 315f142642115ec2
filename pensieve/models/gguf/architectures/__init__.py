"""The architectures that can be converted, each as a table from GGUF tensor names to mlx-lm modules."""
