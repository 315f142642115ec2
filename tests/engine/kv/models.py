"""Small models of types with unusual caches or batches, as `pensieve.models.loading` loads them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.loading.load import LoadedModel, load
from tests.dialects.matrix.coverage import SEEDS
from tests.dialects.matrix.model_types import config_of
from tests.dialects.matrix.row import write_small_model


def small(model_type: str, **config: Any) -> LoadedModel:
    with TemporaryDirectory() as place:
        folder = Path(place)
        write_small_model(folder, {**config_of(model_type), **config}, seed=SEEDS.get(model_type, 0))
        return load(ModelFolder(folder, model_type, model_type, "2026-01-01T00:00:00Z"))
