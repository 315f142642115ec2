"""Aliases: models that suit a machine of so many GB for coding, from a curated table, catalogue.toml (U3)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_TABLE: Final = Path(__file__).with_name("catalogue.toml")
_BITS_PER_WEIGHT: Final = 4.5
"""Four bits, and a scale and a bias of 16 bits for every 64 weights."""


@dataclass(frozen=True, slots=True)
class ListedModel:
    """`machine_gb` is the class of machines that it suits, in GiB of memory as Apple counts them."""

    alias: str
    name: str
    parameters: int
    machine_gb: int
    why: str

    @property
    def weights_bytes(self) -> int:
        """Computed from the number of parameters."""
        return int(self.parameters * _BITS_PER_WEIGHT / 8)


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
