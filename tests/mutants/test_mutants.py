"""Every mutant is caught by the scenario that names its fault.

A failure alone would prove little: the scenario must also pass on the same server, through the same proxy, without the
fault.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from features.harness.target.target import SCRIPT, reference_server
from tests.features.suite import ROOT, SuiteRun, run_suite
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import KEYS, NO_FAULT, BaseServer, Mutant
from tests.mutants.proxy import served
from tests.support.tiny_model import EMBEDDED_VOCABULARY, write_tiny_model

_PLAYS_THE_SCRIPT = ("--script", str(SCRIPT))
_ARGUMENTS: Mapping[BaseServer, tuple[str, ...]] = {
    BaseServer.SCRIPTED: _PLAYS_THE_SCRIPT,
    BaseServer.GUARDED: (*_PLAYS_THE_SCRIPT, "--api-key", KEYS[0]),
    BaseServer.RATE_LIMITED: (*_PLAYS_THE_SCRIPT, "--rate-limit", "3"),
    BaseServer.OVERLOADED: _PLAYS_THE_SCRIPT,
}
Outcomes = Mapping[str, frozenset[str]]


@pytest.fixture(scope="module")
def correct_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[BaseServer], str]]:
    """The URL of each correct server, started when it is first needed. The scenarios' `max_tokens` are meant for a real
    vocabulary.
    """
    model = write_tiny_model(tmp_path_factory.mktemp("models") / "tiny", vocab_size=EMBEDDED_VOCABULARY)
    key_file = tmp_path_factory.mktemp("keys") / "keys.toml"
    key_file.touch(mode=0o600)
    key_file.write_text("".join(f'client-{number} = "{key}"\n' for number, key in enumerate(KEYS)), encoding="utf-8")
    with contextlib.ExitStack() as stack:

        @cache
        def url_of(base: BaseServer) -> str:
            arguments = _ARGUMENTS.get(base, ("--model", str(model)))
            if base is BaseServer.TWO_KEYS:
                arguments += ("--api-keys", str(key_file))
            return stack.enter_context(reference_server(*arguments))

        yield url_of


@pytest.fixture(scope="module")
def outcomes_without_fault(
    correct_server: Callable[[BaseServer], str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[BaseServer], Outcomes]:
    """The outcome of every mutant's scenario on its correct server, when the proxy changes nothing."""

    @cache
    def outcomes_on(base: BaseServer) -> Outcomes:
        ids = {mutant.caught_by for mutant in MUTANTS if mutant.base is base}
        with served(NO_FAULT, correct_server(base)) as url:
            return _judged(url, ids, tmp_path_factory.mktemp("no-fault") / "report.xml", base).outcomes

    return outcomes_on


def test_every_mutant_has_a_unique_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught_by_the_scenario_that_names_its_fault(
    mutant: Mutant,
    correct_server: Callable[[BaseServer], str],
    outcomes_without_fault: Callable[[BaseServer], Outcomes],
    tmp_path: Path,
) -> None:
    outcomes = outcomes_without_fault(mutant.base)
    assert outcomes[mutant.caught_by] == {"passed"}, "the scenario must pass on the correct server"
    with served(mutant, correct_server(mutant.base)) as url:
        until = () if mutant.in_every_example else ("--exitfirst",)
        run = _judged(url, {mutant.caught_by}, tmp_path / "report.xml", mutant.base, *until)
    assert "failure" in run.outcomes[mutant.caught_by], run.output
    if mutant.in_every_example:
        assert run.outcomes[mutant.caught_by] == {"failure"}, run.output
    assert "error" not in run.outcomes[mutant.caught_by], run.output
    assert run.exit_code == pytest.ExitCode.TESTS_FAILED
    assert "expected " in run.output, "a verdict says what was expected"


def _judged(url: str, ids: set[str], report: Path, base: BaseServer, *options: str) -> SuiteRun:
    """Run the scenarios with the server in every role that it can play."""
    roles = {
        BaseServer.SCRIPTED: ("--scripted-target", url),
        BaseServer.OVERLOADED: ("--scripted-target", url),
        BaseServer.GUARDED: ("--api-key", KEYS[0]),
        BaseServer.RATE_LIMITED: ("--rate-limited-target", url),
        BaseServer.TWO_KEYS: ("--api-key", KEYS[0], "--second-api-key", KEYS[1]),
        BaseServer.CONSTRAINED: (),
    }
    folders = sorted({_folder_of(slug) for slug in ids})
    chosen = [f"--id={slug}" for slug in sorted(ids)]
    return run_suite("--target", url, *roles[base], *chosen, *options, report=report, folders=folders)


@cache
def _folder_of(slug: str) -> str:
    """The folder with the feature file of the scenario."""
    for path in sorted(ROOT.glob("features/*/*.feature")):
        if re.search(rf"@id:{re.escape(slug)}(?![\w-])", path.read_text(encoding="utf-8")):
            return str(path.parent.relative_to(ROOT))
    raise LookupError(f"no scenario has the id {slug}")
