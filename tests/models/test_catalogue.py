"""The curated models are what their table says, and their sizes follow from it."""

from __future__ import annotations

import pytest

from pensieve.core.errors import ModelLoadingError
from pensieve.models.catalogue import class_of, listed_model, listed_models
from pensieve.models.hub_name import HubName, hub_name
from pensieve.models.model_names import require_free_name

GIB = 1024**3


def test_every_class_of_machines_has_a_model_and_its_alias_says_so() -> None:
    assert sorted({model.machine_gb for model in listed_models()}) == [8, 16, 24, 32]
    for machine_gb in (8, 16, 24, 32):
        first = next(model for model in listed_models() if model.machine_gb == machine_gb)
        assert first.alias == f"coder-{machine_gb}gb"


def test_aliases_are_names_of_the_hub_in_short_and_cannot_be_given_to_another() -> None:
    models = listed_models()
    assert len({model.alias for model in models}) == len({model.name for model in models}) == len(models)
    for model in models:
        assert hub_name(model.name) == HubName(model.name)
        assert listed_model(model.alias) is model
        with pytest.raises(ModelLoadingError, match="one of Pensieve's own"):
            require_free_name(model.alias)


def test_weights_leave_half_of_the_machine_or_so_for_the_rest() -> None:
    """Qwen3-8B-4bit is 4.61 GB on the hub; the figure is computed."""
    model = listed_model("coder-16gb")
    assert model is not None
    assert abs(model.weights_bytes - 4.61e9) < 0.05e9
    assert all(model.weights_bytes < 0.6 * model.machine_gb * 1e9 for model in listed_models())


@pytest.mark.parametrize(("gib", "machine_gb"), [(4, 8), (8, 8), (15.5, 16), (18, 16), (24, 24), (31.3, 32), (128, 32)])
def test_a_machine_is_of_the_largest_class_that_it_reaches(gib: float, machine_gb: int) -> None:
    assert class_of(int(gib * GIB)) == machine_gb
