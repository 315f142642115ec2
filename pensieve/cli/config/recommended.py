"""What the makers of the served model recommend, for the settings of sampling that nothing else sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from contracts.values.vocabulary import Sampling
from pensieve.cli.settings.read import FoundValue, Source


def with_recommended(values: Mapping[str, FoundValue]) -> dict[str, FoundValue]:
    """The values, with the recommended ones in place of defaults, if the model is on this machine."""
    model, sampling = _recommended(values)
    found = {name: value for name, value in asdict(sampling).items() if value is not None}
    return {
        name: replace(each, text=f"{found[name]:g}", origin=f"{Path(model).name}'s makers")
        if name in found and each.source is Source.DEFAULT
        else each
        for name, each in values.items()
    }


def _recommended(values: Mapping[str, FoundValue]) -> tuple[str, Sampling]:
    """The model's name, and the sampling."""
    from pensieve.core.errors import ModelLoadingError  # noqa: PLC0415 - not needed for --help
    from pensieve.models.library.embedded import SMOLLM2  # noqa: PLC0415
    from pensieve.models.library.local_folder import local_folder  # noqa: PLC0415
    from pensieve.models.loading.generation_config import read_generation_config  # noqa: PLC0415

    if values["script"].value is not None and values["model"].value is None:
        return "", Sampling()
    name = values["model"].value or SMOLLM2.name
    try:
        folder = local_folder(name)
    except ModelLoadingError:  # `serve` will name what is wrong with it
        return name, Sampling()
    if folder is None:
        return name, SMOLLM2.sampling if name == SMOLLM2.name else Sampling()
    return name, read_generation_config(folder).sampling
