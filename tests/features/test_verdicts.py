"""One verdict an id: the worst of its examples, and what a known failure makes of it."""

from __future__ import annotations

import pytest

from features.harness.outline.capabilities import registry
from features.harness.verdicts.verdicts import About, Example, Judgement, Verdict

_ABOUT = About("some-id", "A name", "A rule", "A chapter", "MUST", "messages", ("messages",), ("W1",))
_PASS, _FAIL, _ERROR = Verdict.PASS, Verdict.FAIL, Verdict.ERROR
_UNSUPPORTED, _DISABLED = Verdict.UNSUPPORTED, Verdict.DISABLED


def judgement(*verdicts: Verdict, known_failure: str | None = None, num_examples: int | None = None) -> Judgement:
    examples = [Example(str(number), verdict, f"why {verdict}") for number, verdict in enumerate(verdicts)]
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
def test_the_worst_example_is_the_verdict(examples: tuple[Verdict, ...], verdict: Verdict) -> None:
    assert judgement(*examples).verdict is verdict


@pytest.mark.parametrize(
    ("examples", "verdict"),
    [
        ((_FAIL,), Verdict.EXPECTED_FAILURE),
        ((_PASS, _FAIL), Verdict.EXPECTED_FAILURE),
        ((_PASS, _PASS), Verdict.UNEXPECTED_PASS),
        ((_ERROR, _FAIL), _ERROR),
        ((_UNSUPPORTED,), _UNSUPPORTED),
        ((_DISABLED, _PASS), _PASS),
    ],
)
def test_a_known_failure_is_expected_until_every_example_passes(
    examples: tuple[Verdict, ...], verdict: Verdict
) -> None:
    assert judgement(*examples, known_failure="it is old").verdict is verdict


def test_a_run_that_was_cut_short_has_no_news_of_a_known_failure() -> None:
    assert judgement(_PASS, known_failure="it is old", num_examples=2).verdict is _PASS


def test_the_reason_is_that_of_the_verdict_on_one_line() -> None:
    kept = judgement(_PASS, _FAIL)
    kept.examples[1] = Example("1", _FAIL, "expected one\n  actual two")
    assert kept.reason == "expected one actual two"
    assert kept.of_examples == "of 2 examples: 1 fail, 1 pass"


def test_a_scenario_counts_under_its_most_particular_capability() -> None:
    assert registry().home_of({"pdf", "messages", "documents"}) == "pdf"


def test_a_model_tells_what_it_cannot_do() -> None:
    model = {"capabilities": {"image_input": {"supported": False}, "pdf_input": {"supported": True}, "thinking": None}}
    assert registry().unsupported_by(model) == {"images"}
    assert registry().unsupported_by({"capabilities": None}) == frozenset()
