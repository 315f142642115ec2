"""Models as files: finding, downloading, converting, loading and describing them; their tokenizers and prompts."""
