"""One loaded model, one thread that owns MLX, and any number of requests."""
