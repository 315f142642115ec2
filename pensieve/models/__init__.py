"""Models: finding, downloading, converting and loading them, and rendering conversations to their prompts."""
