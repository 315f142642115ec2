"""The test suites of Anthropic's and OpenAI's own Python SDKs, with this server in place of their mock server."""
