"""From the tools of a request to those that the model may call."""
