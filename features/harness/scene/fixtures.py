"""The servers a scenario may ask for, each started or reached once in a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from features.harness.target.judged import JUDGED, UNDER_TEST
from features.harness.target.target import StartError, Target, UnreachableError, reach, started
from features.harness.target.target_file import Role
from features.harness.verdicts.skips import skip_disabled
from features.harness.wire.transcript import TRANSCRIPT, Transcript


@pytest.fixture(scope="session")
def target(pytestconfig: pytest.Config) -> Iterator[Target]:
    """The server under test."""
    for reached in _playing(Role.SERVER, pytestconfig):
        pytestconfig.stash[UNDER_TEST] = reached
        yield reached


@pytest.fixture(scope="session")
def scripted_target(pytestconfig: pytest.Config) -> Iterator[Target]:
    """A server that plays the suite's script: its pace and its faults are known beforehand."""
    yield from _playing(Role.SCRIPTED, pytestconfig)


@pytest.fixture(scope="session")
def guarded_target(pytestconfig: pytest.Config) -> Iterator[Target]:
    """A server that demands a key, with the key."""
    yield from _playing(Role.GUARDED, pytestconfig)


@pytest.fixture(scope="session")
def rate_limited_target(pytestconfig: pytest.Config) -> Iterator[Target]:
    """A server that takes three requests a minute from each key."""
    yield from _playing(Role.RATE_LIMITED, pytestconfig)


@pytest.fixture
def transcript(request: pytest.FixtureRequest) -> Transcript:
    """What this scenario sends and receives; shown if it fails."""
    kept = Transcript()
    request.node.stash[TRANSCRIPT] = kept
    return kept


def _playing(role: Role, config: pytest.Config) -> Iterator[Target]:
    """The server that plays a role. One that does not start ends the run: there is nothing to judge."""
    judged = config.stash[JUDGED]
    access = judged.access(role)
    if access is None:
        skip_disabled(judged.why_missing(role))
    key, model = judged.key_for(role, access), judged.model_for(role, access)
    with contextlib.ExitStack() as stack:
        try:
            url = access.url or stack.enter_context(started(judged.command_of(access)))
            reached = reach(url, api_key=key, model=model)
        except (StartError, UnreachableError) as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
        yield reached
