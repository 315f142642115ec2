"""The models that a server may be asked for: what is known of each before it is loaded, and how each stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from pensieve.core.defaults.model_settings import ModelSettings
from pensieve.core.errors import ModelLoadingError
from pensieve.models.estimate.known_model import KnownModel

ModelStatus = Literal["loading", "loaded", "unloading", "unloaded"]


@dataclass(frozen=True, slots=True)
class ModelState:
    """How a known model stands. `idle_seconds` is None unless it is loaded and nobody uses it."""

    id: str
    status: ModelStatus
    num_active: int
    idle_seconds: float | None
    weights_bytes: int
    draft_id: str | None = None
    settings: ModelSettings = ModelSettings()  # noqa: RUF009 - frozen


@dataclass(frozen=True, slots=True)
class ModelCounts:
    """What has happened since the start."""

    num_loads: int
    num_failed_loads: int
    num_unloads: int


class ModelRegistry:
    """Known models in the order in which they became known. A name is an id, or what the user called it."""

    def __init__(self, models: Iterable[KnownModel] = ()) -> None:
        self._by_id: dict[str, KnownModel] = {}
        for model in models:
            other = self._by_id.get(model.info.id)
            if other is not None and other.source != model.source:
                raise ModelLoadingError(model.source, f"clients know {other.source} by the same name, {model.info.id}")
            self.add(model)

    def __iter__(self) -> Iterator[KnownModel]:
        return iter(tuple(self._by_id.values()))

    def add(self, model: KnownModel) -> None:
        self._by_id[model.info.id] = model

    def find(self, name: str) -> KnownModel | None:
        found = self._by_id.get(name)
        return found or next((model for model in self._by_id.values() if model.source == name), None)
