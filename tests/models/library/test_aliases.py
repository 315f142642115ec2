"""The table of curated models is consistent, fits its machines and matches the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pensieve.cli.sizes import parse_size
from pensieve.core.errors import ModelLoadingError
from pensieve.models.hub.name import HubName, parse_hub_name
from pensieve.models.library.aliases import CuratedModel, curated_model, curated_models, machine_class_gb
from pensieve.models.library.names import require_free_name

GIB = 1024**3


def test_every_machine_class_has_a_recommended_model_named_after_it() -> None:
    assert sorted({model.machine_gb for model in curated_models()}) == [8, 16, 24, 32, 64]
    for machine_gb in (8, 16, 24, 32, 64):
        first = next(model for model in curated_models() if model.machine_gb == machine_gb)
        assert first.alias == f"coder-{machine_gb}gb"


def test_aliases_stand_for_hub_names_and_cannot_be_reused() -> None:
    models = curated_models()
    assert len({model.alias for model in models}) == len(models)
    for model in models:
        assert parse_hub_name(model.name) == HubName(model.name)
        assert parse_hub_name(str(model.hub)) == model.hub
        assert model.revision is None or re.fullmatch("[0-9a-f]{40}", model.revision)
        assert curated_model(model.alias) is model
        with pytest.raises(ModelLoadingError, match="one of Pensieve's own"):
            require_free_name(model.alias)


@pytest.mark.parametrize("alias", ["coder-8gb-small", "coder-16gb-fast", "coder-24gb-fast"])
def test_aliases_of_earlier_versions_still_work(alias: str) -> None:
    assert curated_model(alias) is not None


@pytest.mark.parametrize("model", curated_models(), ids=lambda model: model.alias)
def test_a_model_fits_its_machine_under_the_recommended_limit(model: CuratedModel) -> None:
    """A server may use three quarters of a machine; a tenth of the limit stays free for requests."""
    limit_bytes = parse_size(model.memory_limit) if model.memory_limit else min(12e9, 0.75 * model.machine_gb * GIB)
    assert model.weights_bytes < 0.9 * limit_bytes
    assert limit_bytes <= 0.75 * model.machine_gb * GIB
    assert model.memory is None or re.search(r"\([A-Z]\w+(-MLX)? \d", model.memory), "the figure has no source"


@pytest.mark.parametrize("model", curated_models(), ids=lambda model: model.alias)
def test_the_documentation_lists_every_alias_with_its_model_and_size(model: CuratedModel) -> None:
    row = f"| `{model.alias}` | {model.machine_gb} GB | {model.name} | {model.weights_bytes / 1e9:.1f} GB |"
    limit, licence = model.memory_limit or "", model.licence or ""
    pages = (Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8")
    assert f"{row} {limit} | {licence} |".replace("|  |", "| |") in pages


@pytest.mark.parametrize(
    ("gib", "machine_gb"), [(4, 8), (8, 8), (15.5, 16), (18, 16), (24, 24), (31.3, 32), (48, 32), (63, 64), (128, 64)]
)
def test_a_machine_belongs_to_the_largest_class_it_reaches(gib: float, machine_gb: int) -> None:
    assert machine_class_gb(int(gib * GIB)) == machine_gb
