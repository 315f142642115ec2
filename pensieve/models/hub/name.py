"""Names on the Hugging Face hub: `organisation/name`, optionally with a GGUF file in it and a revision."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

_NAME: Final = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:/([^@]+\.gguf))?", re.IGNORECASE)
_PAGE: Final = re.compile(r"(?:https?://)?(?:huggingface\.co|hf\.co)/(?=[^/]+/[^/])", re.IGNORECASE | re.ASCII)
"""What an address from the browser has before the name."""
_REVISION: Final = re.compile(r"[\w][\w./-]*")


@dataclass(frozen=True, slots=True)
class HubName:
    """`file` is the path of a GGUF file in the repository, `revision` a branch, tag or commit."""

    name: str
    file: str | None = None
    revision: str | None = None

    @property
    def bare(self) -> str:
        """Without the revision."""
        return str(replace(self, revision=None))

    def __str__(self) -> str:
        path = f"{self.name}/{self.file}" if self.file else self.name
        return f"{path}@{self.revision}" if self.revision else path


def parse_hub_name(text: str) -> HubName | None:
    """Parse `organisation/name` or `organisation/name/file.gguf`, either with `@revision`, or the address of a model's
    page; None for anything else.
    """
    path, at, revision = _PAGE.sub("", text).partition("@")
    found = _NAME.fullmatch(path)
    if found is None or (at and not _REVISION.fullmatch(revision)) or ".." in text:
        return None
    return HubName(found[1], found[2], revision or None)
