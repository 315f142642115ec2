"""The registry of capabilities: what a target may declare, and what a scenario may take."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

REGISTRY_FILE = Path(__file__).parents[2] / "capabilities.toml"


class UnknownCapabilityError(ValueError):
    """A name that the registry does not have. The message lists those that it has."""


@dataclass(frozen=True, slots=True)
class Capability:
    """`since` is the suite's version that judged it first; `model_field` where a model's own description tells it."""

    name: str
    sentence: str
    since: str
    spec: tuple[str, ...]
    model_field: str | None


@dataclass(frozen=True, slots=True)
class Registry:
    """`capabilities` stand in the order of the file: from the general to the particular."""

    suite_version: str
    capabilities: Mapping[str, Capability]

    def known(self, names: Iterable[str], *, source: str) -> frozenset[str]:
        """The names as a set.

        Raises:
            UnknownCapabilityError: one of them is not in the registry; `source` says where it stands.
        """
        asked = frozenset(names)
        if unknown := sorted(asked - self.capabilities.keys()):
            known = ", ".join(self.capabilities)
            raise UnknownCapabilityError(f"{source} names no capability by {', '.join(unknown)}; there are {known}")
        return asked

    def home_of(self, names: Iterable[str]) -> str:
        """The most particular of a scenario's capabilities: the one that it counts under."""
        order = list(self.capabilities)
        return max(names, key=order.index)

    def unsupported_by(self, model: Mapping[str, object]) -> frozenset[str]:
        """What a model, as GET /v1/models/{id} describes it, says that it cannot do."""
        told = _mapping(model.get("capabilities"))
        return frozenset(
            capability.name
            for capability in self.capabilities.values()
            if _mapping(told.get(capability.model_field)).get("supported") is False
        )


@functools.cache
def registry() -> Registry:
    document = tomllib.loads(REGISTRY_FILE.read_text(encoding="utf-8"))
    return Registry(
        document["suite_version"],
        {
            name: Capability(name, row["sentence"], row["since"], tuple(row["spec"]), row.get("model_field"))
            for name, row in document["capability"].items()
        },
    )


def _mapping(value: object) -> Mapping[object, object]:
    return value if isinstance(value, Mapping) else {}
