from __future__ import annotations

import math
from dataclasses import fields

import pytest

from contracts.values.vocabulary import Sampling
from pensieve.core.defaults.sampling import ALLOWED, API_DEFAULTS, describe_sampling, with_defaults


def test_every_parameter_has_a_range_and_a_default_within_it() -> None:
    assert [field.name for field in fields(Sampling)] == list(ALLOWED)
    for name, allowed in ALLOWED.items():
        assert allowed.holds(getattr(API_DEFAULTS, name)), name


def test_parameters_that_are_not_set_come_from_the_defaults() -> None:
    makers = Sampling(temperature=0.6, top_p=0.95, top_k=20)
    assert with_defaults(Sampling(), makers) == makers
    assert with_defaults(Sampling(temperature=0.0), makers) == Sampling(0.0, 0.95, 20)
    assert with_defaults(Sampling(top_k=0, min_p=0.0), makers) == Sampling(0.6, 0.95, 0, 0.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", True),
        ("temperature", "0.6"),
        ("temperature", math.nan),
        ("temperature", 2.1),
        ("top_p", -0.1),
        ("top_k", 20.0),
        ("top_k", -1),
        ("min_p", math.inf),
        ("repetition_penalty", 0),
        ("repetition_penalty", None),
        ("presence_penalty", 2.1),
        ("frequency_penalty", -2.1),
    ],
)
def test_other_types_and_values_out_of_range_are_rejected(name: str, value: object) -> None:
    assert not ALLOWED[name].holds(value)


@pytest.mark.parametrize(
    ("sampling", "description"),
    [
        (Sampling(), "temperature 1"),
        (Sampling(0.6, 0.95, 20), "temperature 0.6, top_p 0.95, top_k 20"),
        (Sampling(top_p=1.0, repetition_penalty=1.05), "temperature 1, repetition_penalty 1.05"),
        (Sampling(0.0, 0.95), "temperature 0: always the most likely token"),
    ],
)
def test_only_parameters_that_affect_sampling_are_described(sampling: Sampling, description: str) -> None:
    assert describe_sampling(sampling) == description
