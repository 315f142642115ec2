"""From decoded text to the pieces of an answer: text, thinking and tool calls."""
