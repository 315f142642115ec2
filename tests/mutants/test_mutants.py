"""Each mutant is caught by the scenario that names its fault.

That the scenario fails would prove little: it also passes on the same server, through the same proxy, without it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from features.harness.target.target import SCRIPT, reference_server
from pensieve.models.files.model_folder import ModelFolder
from tests.features.suite import SuiteRun, run_suite
from tests.mutants.catalogue import MUTANTS, RIGHT, Mutant, Right
from tests.mutants.proxy import served

_KEY = "the-key-of-the-right-server"
_PLAYS = ("--script", str(SCRIPT))
_ARGUMENTS: Mapping[Right, tuple[str, ...]] = {
    Right.SCRIPTED: _PLAYS,
    Right.GUARDED: (*_PLAYS, "--api-key", _KEY),
    Right.LIMITED: (*_PLAYS, "--rate-limit", "3"),
    Right.CROWDED: _PLAYS,
}
Outcomes = Mapping[str, frozenset[str]]


@pytest.fixture(scope="module")
def right_server(tiny_folder: ModelFolder) -> Iterator[Callable[[Right], str]]:
    """The URL of each right server, started when it is asked for first."""
    with contextlib.ExitStack() as stack:

        @cache
        def url_of(right: Right) -> str:
            arguments = _ARGUMENTS.get(right, ("--model", str(tiny_folder.path)))
            return stack.enter_context(reference_server(*arguments))

        yield url_of


@pytest.fixture(scope="module")
def without_fault(
    right_server: Callable[[Right], str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Right], Outcomes]:
    """What becomes of every scenario that catches a mutant of a right server, when the proxy alters nothing."""

    @cache
    def outcomes_on(right: Right) -> Outcomes:
        ids = {mutant.caught_by for mutant in MUTANTS if mutant.right is right}
        with served(RIGHT, right_server(right)) as url:
            return _judged(url, ids, tmp_path_factory.mktemp("right") / "report.xml", right).outcomes

    return outcomes_on


def test_no_two_mutants_share_a_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught_by_the_scenario_that_names_its_fault(
    mutant: Mutant,
    right_server: Callable[[Right], str],
    without_fault: Callable[[Right], Outcomes],
    tmp_path: Path,
) -> None:
    outcomes = without_fault(mutant.right)
    assert outcomes[mutant.caught_by] == {"passed"}, "the scenario has to pass on the right server"
    with served(mutant, right_server(mutant.right)) as url:
        run = _judged(url, {mutant.caught_by}, tmp_path / "report.xml", mutant.right)
    assert "failure" in run.outcomes[mutant.caught_by], run.output
    assert "error" not in run.outcomes[mutant.caught_by], run.output
    assert run.exit_code == pytest.ExitCode.TESTS_FAILED
    assert "expected " in run.output, "a verdict says what was expected"


def _judged(url: str, ids: set[str], report: Path, right: Right) -> SuiteRun:
    """One server plays all the parts that it can."""
    roles = {
        Right.SCRIPTED: ("--scripted-target", url),
        Right.CROWDED: ("--scripted-target", url),
        Right.GUARDED: ("--api-key", _KEY),
        Right.LIMITED: ("--rate-limited-target", url),
        Right.HELD: (),
    }
    return run_suite("--target", url, *roles[right], *(f"--id={slug}" for slug in sorted(ids)), report=report)
