"""Tokenizers rebuilt from GGUF metadata as tokenizer.json and tokenizer_config.json."""
