"""What was computed and generated, kept for later requests: KV caches of prompts, and answers as tokens."""
