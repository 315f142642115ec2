"""How much of a prompt was known already, and what was not: as a response header (C2).

    pensieve-prompt-cache: read=3584, prompt=3641
    pensieve-prompt-cache: read=12, prompt=3641, differs-in=system

`read` and `prompt` are tokens; `differs-in` names the part of the prompt from which on much had to be computed, and
never its text. The figures are those of the moment at which the request was accepted; usage has the final ones.
"""

from __future__ import annotations

from contracts.values.generation import GenerationStarted

NAME = "pensieve-prompt-cache"


class PromptCacheHeader:
    """Takes note of a generation's start, and has the header of its response."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def take(self, started: GenerationStarted) -> None:
        told = [f"read={started.cached_tokens}", f"prompt={started.input_tokens}"]
        if started.differs_in:
            told.append(f"differs-in={started.differs_in}")
        self.headers = {NAME: ", ".join(told)}
