"""A model before it is loaded: its name, its context window, its size and its settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from contracts.values.vocabulary import ModelInfo
from pensieve.core.defaults.model_settings import ModelSettings
from pensieve.models.estimate.footprint import footprint
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.loading.config import DEFAULT_WINDOW_TOKENS, read_config
from pensieve.models.loading.generation_config import read_generation_config
from pensieve.models.safetensors.headers import folder_headers

Speculation = Literal["off", "prompt_lookup", "draft_model", "mtp"]
"""What drafts where no earlier text does; with "prompt_lookup", nothing."""


@dataclass(frozen=True, slots=True)
class KnownModel:
    """`source` is the user's name for the model. `weights_bytes` is the expected size, with its draft model's if it has
    one (`draft_id`); 0 if unknown. `speculation` is what drafts. `settings` are complete: they apply wherever a request
    does not specify a value. Clients may also call it by its `alias`. It is unloaded after `idle_seconds` without a
    request, where that is set.
    """

    source: str
    info: ModelInfo
    weights_bytes: int = 0
    draft_id: str | None = None
    speculation: Speculation = "off"
    settings: ModelSettings = ModelSettings()  # noqa: RUF009 - frozen
    alias: str | None = None
    idle_seconds: float | None = None


def known_model(
    source: str,
    folder: ModelFolder,
    *,
    dense: bool,
    settings: ModelSettings = ModelSettings(),  # noqa: B008 - frozen
    with_mtp: bool = False,
) -> KnownModel:
    """From the files and the operator's `settings`. With `dense`, the device unpacks the weights to f32. The MTP head
    counts `with_mtp`, if there is one.

    Raises:
        ModelLoadingError: a file is missing or damaged; it is named.
    """
    expected = footprint(read_config(source, folder.path), folder_headers(source, folder.path), dense=dense)
    window_tokens = settings.window_within(expected.window_tokens or DEFAULT_WINDOW_TOKENS)
    info = ModelInfo(folder.id, folder.display_name, window_tokens, folder.created_at)
    complete = settings.over_makers(read_generation_config(folder.path).sampling)
    mtp_bytes = expected.mtp_bytes if with_mtp else 0
    speculation: Speculation = "mtp" if mtp_bytes else "off"
    return KnownModel(source, info, expected.weights_bytes + mtp_bytes, speculation=speculation, settings=complete)
