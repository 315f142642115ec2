"""The curated models are what their table says, and their sizes follow from it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pensieve.cli.sizes import parse_size
from pensieve.core.errors import ModelLoadingError
from pensieve.models.hub.name import HubName, hub_name
from pensieve.models.library.aliases import ListedModel, class_of, listed_model, listed_models
from pensieve.models.library.names import require_free_name

GIB = 1024**3


def test_every_class_of_machines_has_a_model_and_its_alias_says_so() -> None:
    assert sorted({model.machine_gb for model in listed_models()}) == [8, 16, 24, 32, 64]
    for machine_gb in (8, 16, 24, 32, 64):
        first = next(model for model in listed_models() if model.machine_gb == machine_gb)
        assert first.alias == f"coder-{machine_gb}gb"


def test_aliases_are_names_of_the_hub_in_short_and_cannot_be_given_to_another() -> None:
    models = listed_models()
    assert len({model.alias for model in models}) == len(models)
    for model in models:
        assert hub_name(model.name) == HubName(model.name)
        assert hub_name(str(model.hub)) == model.hub
        assert model.revision is None or re.fullmatch("[0-9a-f]{40}", model.revision)
        assert listed_model(model.alias) is model
        with pytest.raises(ModelLoadingError, match="one of Pensieve's own"):
            require_free_name(model.alias)


@pytest.mark.parametrize("alias", ["coder-8gb-small", "coder-16gb-fast", "coder-24gb-fast"])
def test_aliases_of_earlier_versions_are_still_there(alias: str) -> None:
    assert listed_model(alias) is not None


@pytest.mark.parametrize("model", listed_models(), ids=lambda model: model.alias)
def test_a_model_fits_its_machine_under_the_limit_that_is_named_with_it(model: ListedModel) -> None:
    """Three quarters of a machine are what a server may take; a tenth of the limit is left for answers."""
    limit_bytes = parse_size(model.memory_limit) if model.memory_limit else min(12e9, 0.75 * model.machine_gb * GIB)
    assert model.weights_bytes < 0.9 * limit_bytes
    assert limit_bytes <= 0.75 * model.machine_gb * GIB
    assert model.memory is None or re.search(r"\([A-Z]\w+(-MLX)? \d", model.memory), "it is not said whose figure it is"


@pytest.mark.parametrize("model", listed_models(), ids=lambda model: model.alias)
def test_the_documentation_has_every_alias_with_its_model_and_size(model: ListedModel) -> None:
    row = f"| `{model.alias}` | {model.machine_gb} GB | {model.name} | {model.weights_bytes / 1e9:.1f} GB |"
    limit, licence = model.memory_limit or "", model.licence or ""
    pages = (Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8")
    assert f"{row} {limit} | {licence} |".replace("|  |", "| |") in pages


@pytest.mark.parametrize(
    ("gib", "machine_gb"), [(4, 8), (8, 8), (15.5, 16), (18, 16), (24, 24), (31.3, 32), (48, 32), (63, 64), (128, 64)]
)
def test_a_machine_is_of_the_largest_class_that_it_reaches(gib: float, machine_gb: int) -> None:
    assert class_of(int(gib * GIB)) == machine_gb
