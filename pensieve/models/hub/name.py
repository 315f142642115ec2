"""How a model of the Hugging Face hub is named: `organisation/name`, a GGUF file in it, and a revision of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

_NAME: Final = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:/([^@]+\.gguf))?", re.IGNORECASE)
_REVISION: Final = re.compile(r"[\w][\w./-]*")


@dataclass(frozen=True, slots=True)
class HubName:
    """`file` is a GGUF file's path in the repository, `revision` a branch, a tag or a commit."""

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


def hub_name(source: str) -> HubName | None:
    """`organisation/name`, `organisation/name/file.gguf`, either with `@revision`; None for what is neither."""
    path, at, revision = source.partition("@")
    found = _NAME.fullmatch(path)
    if found is None or (at and not _REVISION.fullmatch(revision)) or ".." in source:
        return None
    return HubName(found[1], found[2], revision or None)
