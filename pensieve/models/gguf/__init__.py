"""From a GGUF file to a model folder in MLX format: header, architecture, weights and tokenizer."""
