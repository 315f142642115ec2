"""A response header that reports how much of the prompt came from the prompt cache, and why not more (C2).

    pensieve-prompt-cache: read=3584, prompt=3641
    pensieve-prompt-cache: read=12, prompt=3641, differs-in=system

`read` and `prompt` count tokens. `differs-in` names the part of the prompt, never its text, where it first differs from
what is cached, if much had to be computed. The figures are from the acceptance of the request; `usage` has the final
ones.
"""

from __future__ import annotations

from contracts.values.generation import GenerationStarted

NAME = "pensieve-prompt-cache"


class PromptCacheHeader:
    """Collects the header from the start of a generation."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def record(self, started: GenerationStarted) -> None:
        fields = [f"read={started.cached_tokens}", f"prompt={started.input_tokens}"]
        if started.differs_in:
            fields.append(f"differs-in={started.differs_in}")
        self.headers = {NAME: ", ".join(fields)}
