"""OpenAI's chat completions and completions: the same translation in its format (W6)."""
