"""Aliases: models for coding on a machine of so many GB, from a curated table, aliases.toml (U3)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from pensieve.models.hub.name import HubName

_TABLE: Final = Path(__file__).with_name("aliases.toml")


@dataclass(frozen=True, slots=True)
class ListedModel:
    """`machine_gb` is the class of machines that it suits, in GiB of memory as Apple counts them. The figures are other
    people's, and say so; `memory_limit` is the --memory-limit to serve it with, where the default leaves no room.
    """

    alias: str
    name: str
    weights_bytes: int
    machine_gb: int
    why: str
    revision: str | None = None
    memory: str | None = None
    memory_limit: str | None = None
    licence: str | None = None

    @property
    def hub(self) -> HubName:
        """What the alias stands for: the one revision, where that is known."""
        return HubName(self.name, revision=self.revision)


@cache
def listed_models() -> tuple[ListedModel, ...]:
    """Smallest machines first; the first of a class is the one that is recommended for it."""
    table = tomllib.loads(_TABLE.read_text(encoding="utf-8"))
    return tuple(ListedModel(**entry) for entry in table["model"])


def listed_model(alias: str) -> ListedModel | None:
    return next((model for model in listed_models() if model.alias == alias), None)


def class_of(machine_bytes: int) -> int:
    """The largest class of machines that one of so much memory reaches; the smallest, where it reaches none.

    What the system keeps for itself is missing from the figure, so that a tenth may be.
    """
    reached = [model.machine_gb for model in listed_models() if machine_bytes >= 0.9 * model.machine_gb * 1024**3]
    return max(reached, default=min(model.machine_gb for model in listed_models()))
