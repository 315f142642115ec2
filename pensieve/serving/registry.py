"""The models that a server may be asked for: what is known of each before it is loaded, and how each stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from contracts.values.vocabulary import ModelInfo
from pensieve.core.defaults.model_settings import ModelSettings
from pensieve.core.errors import ModelLoadingError
from pensieve.models.estimate.footprint import footprint
from pensieve.models.files.tensor_headers import folder_headers
from pensieve.models.library.resolve import ModelFolder
from pensieve.models.loading.config import read_config
from pensieve.models.loading.generation_config import read_generation_config

WINDOW_WHEN_UNKNOWN = 4096
"""As for a loaded model whose config and tokenizer do not say."""

Standing = Literal["loading", "loaded", "unloading", "unloaded"]


@dataclass(frozen=True, slots=True)
class KnownModel:
    """`source` is what the user calls it; `weights_bytes` what it is expected to take, 0 where nobody can say, and with
    it the model `draft_id` that drafts for it. `settings` are complete: what holds where a request is silent.
    """

    source: str
    info: ModelInfo
    weights_bytes: int = 0
    draft_id: str | None = None
    settings: ModelSettings = ModelSettings()  # noqa: RUF009 - frozen


def known_model(
    source: str,
    folder: ModelFolder,
    *,
    dense: bool,
    settings: ModelSettings = ModelSettings(),  # noqa: B008 - frozen
) -> KnownModel:
    """From the files alone, and the operator's `settings`. `dense`: the device unpacks the weights to f32.

    Raises:
        ModelLoadingError: a file is missing or damaged; it is named.
    """
    told = footprint(read_config(source, folder.path), folder_headers(source, folder.path), dense=dense)
    window_tokens = told.window_tokens or WINDOW_WHEN_UNKNOWN
    info = ModelInfo(folder.id, folder.display_name, window_tokens, folder.created_at)
    held = settings.over_makers(read_generation_config(folder.path).sampling)
    return KnownModel(source, info, told.weights_bytes, settings=held)


@dataclass(frozen=True, slots=True)
class ModelState:
    """How a known model stands. `idle_seconds` is None unless it is loaded and nobody uses it."""

    id: str
    standing: Standing
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


class Catalog:
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
