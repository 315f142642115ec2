"""mlx-lm in this process, without its side effects."""
