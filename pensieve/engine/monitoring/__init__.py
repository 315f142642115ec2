"""What an engine reports about its requests and its device."""
