"""One verdict per id: the worst of its examples, adjusted for a known failure."""

from __future__ import annotations

import pytest

from features.harness.outline.capabilities import registry
from features.harness.verdicts.verdicts import About, Example, Judgement, ScenarioVerdict

_ABOUT = About("some-id", "A name", "A rule", "A chapter", "MUST", "messages", ("messages",), ("W1",))
_PASS, _FAIL, _ERROR = ScenarioVerdict.PASS, ScenarioVerdict.FAIL, ScenarioVerdict.ERROR
_UNSUPPORTED, _DISABLED = ScenarioVerdict.UNSUPPORTED, ScenarioVerdict.DISABLED


def judgement(
    *verdicts: ScenarioVerdict, known_failure: str | None = None, num_examples: int | None = None
) -> Judgement:
    examples = [Example(str(number), verdict, f"reason for {verdict}") for number, verdict in enumerate(verdicts)]
    return Judgement(_ABOUT, known_failure, len(examples) if num_examples is None else num_examples, examples)


@pytest.mark.parametrize(
    ("examples", "verdict"),
    [
        ((_PASS,), _PASS),
        ((_PASS, _FAIL, _PASS), _FAIL),
        ((_FAIL, _ERROR), _ERROR),
        ((_PASS, _DISABLED), _PASS),
        ((_DISABLED, _UNSUPPORTED), _DISABLED),
        ((_UNSUPPORTED,), _UNSUPPORTED),
        ((), _DISABLED),
    ],
)
def test_the_worst_example_is_the_verdict(examples: tuple[ScenarioVerdict, ...], verdict: ScenarioVerdict) -> None:
    assert judgement(*examples).verdict is verdict


@pytest.mark.parametrize(
    ("examples", "verdict"),
    [
        ((_FAIL,), ScenarioVerdict.EXPECTED_FAILURE),
        ((_PASS, _FAIL), ScenarioVerdict.EXPECTED_FAILURE),
        ((_PASS, _PASS), ScenarioVerdict.UNEXPECTED_PASS),
        ((_ERROR, _FAIL), _ERROR),
        ((_UNSUPPORTED,), _UNSUPPORTED),
        ((_DISABLED, _PASS), _PASS),
    ],
)
def test_a_known_failure_is_expected_until_every_example_passes(
    examples: tuple[ScenarioVerdict, ...], verdict: ScenarioVerdict
) -> None:
    assert judgement(*examples, known_failure="it is old").verdict is verdict


def test_a_known_failure_does_not_pass_unexpectedly_in_a_run_that_was_cut_short() -> None:
    assert judgement(_PASS, known_failure="it is old", num_examples=2).verdict is _PASS


def test_the_reason_belongs_to_the_verdict_and_is_on_one_line() -> None:
    failed = judgement(_PASS, _FAIL)
    failed.examples[1] = Example("1", _FAIL, "expected one\n  actual two")
    assert failed.reason == "expected one actual two"
    assert failed.of_examples == "of 2 examples: 1 fail, 1 pass"


def test_a_scenario_counts_under_its_most_specific_capability() -> None:
    assert registry().home_of({"pdf", "messages", "documents"}) == "pdf"


def test_a_models_description_shows_what_it_does_not_support() -> None:
    model = {"capabilities": {"image_input": {"supported": False}, "pdf_input": {"supported": True}, "thinking": None}}
    assert registry().unsupported_by(model) == {"images"}
    assert registry().unsupported_by({"capabilities": None}) == frozenset()
