"""HTTP: two wire formats, Anthropic's and OpenAI's, over the state of one server."""
