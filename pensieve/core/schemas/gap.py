"""A keyword of a schema that is not enforced, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gap:
    """`path` leads to the subschema that has the keyword. A dangling gap is a mistake in the schema: it refers to
    nothing.
    """

    path: tuple[str, ...]
    keyword: str
    reason: str
    dangling: bool = False

    @property
    def place(self) -> str:
        """The path of the keyword, such as `properties.name.pattern`."""
        return ".".join(part for part in (*self.path, self.keyword) if part)

    def __str__(self) -> str:
        return f"{self.place} ({self.reason})" if self.place else self.reason
