"""The Anthropic Messages API: request bodies to generation requests, generation events to wire events."""
