"""The models that clients may name, and the state of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from contracts.values.measurements import RequestProgress
from pensieve.core.defaults.model_settings import ModelSettings
from pensieve.core.errors import ModelLoadingError
from pensieve.models.estimate.known_model import KnownModel, Speculation

ModelStatus = Literal["loading", "loaded", "unloading", "unloaded"]


@dataclass(frozen=True, slots=True)
class ModelState:
    """`idle_seconds` is None unless the model is loaded and idle."""

    id: str
    status: ModelStatus
    requests: tuple[RequestProgress, ...]
    idle_seconds: float | None
    weights_bytes: int
    draft_id: str | None = None
    speculation: Speculation = "off"
    settings: ModelSettings = ModelSettings()  # noqa: RUF009 - frozen
    alias: str | None = None

    @property
    def num_active(self) -> int:
        return len(self.requests)


@dataclass(frozen=True, slots=True)
class ModelCounts:
    """Counts since the server started."""

    num_loads: int
    num_failed_loads: int
    num_unloads: int


class ModelRegistry:
    """Models in the order in which they were added. A client may name one by its id, its source or its alias."""

    def __init__(self, models: Iterable[KnownModel] = ()) -> None:
        """
        Raises:
            ModelLoadingError: two models of different sources have the same id, or one has another's id as its alias.
        """
        self._by_id: dict[str, KnownModel] = {}
        for model in models:
            other = self._by_id.get(model.info.id)
            if other is not None and other.source != model.source:
                raise ModelLoadingError(
                    model.source, f"{other.source} is served by the same name, {model.info.id}; serve only one of them"
                )
            self.add(model)
        for model in self:
            other = self.find(model.alias) if model.alias is not None else None
            if other is not None and other.source != model.source:
                raise ModelLoadingError(
                    model.source, f"its alias {model.alias} is the name of {other.source}; choose another alias"
                )

    def __iter__(self) -> Iterator[KnownModel]:
        return iter(tuple(self._by_id.values()))

    def add(self, model: KnownModel) -> None:
        self._by_id[model.info.id] = model

    def find(self, name: str) -> KnownModel | None:
        by_id = self._by_id.get(name)
        return by_id or next((model for model in self._by_id.values() if name in (model.source, model.alias)), None)
