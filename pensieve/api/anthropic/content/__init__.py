"""From content blocks to the turns that a chat template renders."""
