"""The registry of capabilities: what a target may declare, and what a scenario may need."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

REGISTRY_FILE = Path(__file__).parents[2] / "capabilities.toml"


class UnknownCapabilityError(ValueError):
    """A name that the registry does not have. The message lists the names that it has."""


@dataclass(frozen=True, slots=True)
class Capability:
    """`since` is the suite version that judged it first; `model_field` is its name in a model's own description."""

    name: str
    sentence: str
    since: str
    spec: tuple[str, ...]
    model_field: str | None


@dataclass(frozen=True, slots=True)
class Registry:
    """`capabilities` are in the order of the file, from general to specific."""

    suite_version: str
    capabilities: Mapping[str, Capability]

    def validated(self, names: Iterable[str], *, source: str) -> frozenset[str]:
        """The names as a set.

        Raises:
            UnknownCapabilityError: a name is not in the registry; `source` says where it was written.
        """
        requested = frozenset(names)
        if unknown := sorted(requested - self.capabilities.keys()):
            known = ", ".join(self.capabilities)
            raise UnknownCapabilityError(f"{source}: unknown capability {', '.join(unknown)}; choose from {known}")
        return requested

    def home_of(self, names: Iterable[str]) -> str:
        """The most specific of a scenario's capabilities: reports count the scenario under it."""
        order = list(self.capabilities)
        return max(names, key=order.index)

    def unsupported_by(self, model: Mapping[str, object]) -> frozenset[str]:
        """The capabilities that a model, as GET /v1/models/{id} describes it, does not have."""
        described = _mapping(model.get("capabilities"))
        return frozenset(
            capability.name
            for capability in self.capabilities.values()
            if _mapping(described.get(capability.model_field)).get("supported") is False
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
