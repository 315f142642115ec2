"""From rendered text to token ids: control tokens in messages stay text, and generated answers keep their tokens."""
