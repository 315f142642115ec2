"""The device that MLX runs on: the only package that asks MLX about backends, memory and speed."""
