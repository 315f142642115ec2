"""Each mutant is caught by the scenario that names its fault.

That the scenario fails would prove little: it also passes on the same server, through the same proxy, without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from features.harness.target import SCRIPT, reference_server
from tests.features.suite import SuiteRun, run_suite
from tests.mutants.catalogue import MUTANTS, RIGHT, Mutant
from tests.mutants.proxy import served

_KEY = "the-key-of-the-right-server"


@pytest.fixture(scope="module")
def right_server() -> Iterator[str]:
    with reference_server("--script", str(SCRIPT)) as url:
        yield url


@pytest.fixture(scope="module")
def guarded_server() -> Iterator[str]:
    with reference_server("--script", str(SCRIPT), "--api-key", _KEY) as url:
        yield url


@pytest.fixture(scope="module")
def without_faults(
    right_server: str, guarded_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, frozenset[str]]:
    """What becomes of every scenario that catches a mutant, when the proxy alters nothing."""
    outcomes: dict[str, frozenset[str]] = {}
    for guarded, upstream in ((False, right_server), (True, guarded_server)):
        ids = {mutant.caught_by for mutant in MUTANTS if mutant.is_guarded is guarded}
        report = tmp_path_factory.mktemp("right") / "report.xml"
        with served(RIGHT, upstream) as url:
            outcomes |= _judged(url, ids, report, guarded=guarded).outcomes
    return outcomes


def test_no_two_mutants_share_a_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught_by_the_scenario_that_names_its_fault(
    mutant: Mutant, request: pytest.FixtureRequest, without_faults: Mapping[str, frozenset[str]], tmp_path: Path
) -> None:
    assert without_faults[mutant.caught_by] == {"passed"}, "the scenario has to pass on the right server"
    upstream = request.getfixturevalue("guarded_server" if mutant.is_guarded else "right_server")
    with served(mutant, upstream) as url:
        run = _judged(url, {mutant.caught_by}, tmp_path / "report.xml", guarded=mutant.is_guarded)
    assert "failure" in run.outcomes[mutant.caught_by], run.output
    assert "error" not in run.outcomes[mutant.caught_by], run.output
    assert run.exit_code == pytest.ExitCode.TESTS_FAILED
    assert "expected " in run.output, "a verdict says what was expected"


def _judged(url: str, ids: set[str], report: Path, *, guarded: bool) -> SuiteRun:
    key = ("--api-key", _KEY) if guarded else ()
    return run_suite("--target", url, *key, *(f"--id={slug}" for slug in sorted(ids)), report=report)
