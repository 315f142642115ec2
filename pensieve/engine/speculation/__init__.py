"""Several tokens from one forward pass: drafts from the prompt or from a draft model, verified by the served model."""
