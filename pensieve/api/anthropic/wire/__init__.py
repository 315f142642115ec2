"""What clients send, as pydantic types."""
