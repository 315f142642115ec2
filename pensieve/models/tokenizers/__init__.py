"""A model's tokenizer: loading it, its chat templates and dialect, and decoding tokens to text."""
