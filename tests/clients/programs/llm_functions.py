"""The tool of `llm --functions`."""

from pathlib import Path


def write_log(text: str) -> str:
    """Write the harbour's log."""
    Path("log.txt").write_text(text, encoding="utf-8")
    return "The log says seven."
