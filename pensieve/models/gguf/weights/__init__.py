"""GGUF tensors rewritten in the data types of MLX: dense, or packed in its affine quantisation."""
