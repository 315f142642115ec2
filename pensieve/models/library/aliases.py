"""Aliases such as `coder-16gb`: recommended models by size of machine, from the curated table aliases.toml (U3)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from pensieve.models.hub.name import HubName

_TABLE: Final = Path(__file__).with_name("aliases.toml")


@dataclass(frozen=True, slots=True)
class CuratedModel:
    """`machine_gb` is the size of machine that it suits, in GiB, as Apple counts memory. `memory` is what another
    server uses for it. `memory_limit` is the --memory-limit to serve it with if the default leaves too little room.
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
        """The hub model that the alias stands for; pinned to one revision if that is known."""
        return HubName(self.name, revision=self.revision)


@cache
def curated_models() -> tuple[CuratedModel, ...]:
    """Smallest machines first; the first model of each class is the recommended one."""
    table = tomllib.loads(_TABLE.read_text(encoding="utf-8"))
    return tuple(CuratedModel(**entry) for entry in table["model"])


def curated_model(alias: str) -> CuratedModel | None:
    return next((model for model in curated_models() if model.alias == alias), None)


def machine_class_gb(machine_bytes: int) -> int:
    """The largest class that a machine with this much memory reaches, or the smallest class if it reaches none.

    The system may hide up to a tenth of the memory, so a class is reached at 90 % of its size.
    """
    reached = [model.machine_gb for model in curated_models() if machine_bytes >= 0.9 * model.machine_gb * 1024**3]
    return max(reached, default=min(model.machine_gb for model in curated_models()))
