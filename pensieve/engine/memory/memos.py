"""How much a model's memos of what clients send may take: grammars, verdicts on schemas, tokens of texts.

Clients may send new schemas and texts for ever. The whole of it is reserved when the model is loaded, so that a memo
that fills up takes nothing from requests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_SHARE: Final = 1 / 64
_MIN_BYTES: Final = 16 * 1000**2
_MAX_BYTES: Final = 128 * 1000**2


@dataclass(frozen=True, slots=True)
class MemoSizes:
    grammars_bytes: int
    verdicts_bytes: int
    encodings_bytes: int

    @classmethod
    def within(cls, capacity_bytes: int) -> MemoSizes:
        """A 64th of the memory limit, but not less than 16 MB or more than 128 MB."""
        total = int(min(_MAX_BYTES, max(_MIN_BYTES, _SHARE * capacity_bytes)))
        return cls(total // 2, total // 8, total - total // 2 - total // 8)

    @property
    def total_bytes(self) -> int:
        return self.grammars_bytes + self.verdicts_bytes + self.encodings_bytes
