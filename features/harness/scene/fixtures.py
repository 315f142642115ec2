"""The servers that a scenario can use, each started or reached once per run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from features.harness.target.judged import JUDGED, UNDER_TEST
from features.harness.target.target import StartError, TargetServer, UnreachableError, reach, started
from features.harness.target.target_file import ServerRole
from features.harness.verdicts.skips import skip_disabled
from features.harness.wire.transcript import TRANSCRIPT, Transcript


@pytest.fixture(scope="session")
def target(pytestconfig: pytest.Config) -> Iterator[TargetServer]:
    """The server under test."""
    for reached in _playing(ServerRole.SERVER, pytestconfig):
        pytestconfig.stash[UNDER_TEST] = reached
        yield reached


@pytest.fixture(scope="session")
def scripted_target(pytestconfig: pytest.Config) -> Iterator[TargetServer]:
    """A server that plays the suite's script, with known delays and failures."""
    yield from _playing(ServerRole.SCRIPTED, pytestconfig)


@pytest.fixture(scope="session")
def guarded_target(pytestconfig: pytest.Config) -> Iterator[TargetServer]:
    """A server that requires a key, with the key."""
    yield from _playing(ServerRole.GUARDED, pytestconfig)


@pytest.fixture(scope="session")
def rate_limited_target(pytestconfig: pytest.Config) -> Iterator[TargetServer]:
    """A server that allows three requests a minute for each client."""
    yield from _playing(ServerRole.RATE_LIMITED, pytestconfig)


@pytest.fixture(scope="session")
def second_key(pytestconfig: pytest.Config) -> str:
    """A key of the server under test that belongs to another client than its first key."""
    judged = pytestconfig.stash[JUDGED]
    key = judged.options.second_api_key
    if judged.api_key is None or key is None:
        skip_disabled(
            "this scenario needs two keys whose clients share nothing: pass those of --target as --api-key and"
            " --second-api-key"
        )
    return key


@pytest.fixture
def transcript(request: pytest.FixtureRequest) -> Transcript:
    """What this scenario sends and receives; reports show it if the scenario fails."""
    transcript = request.node.stash[TRANSCRIPT] = Transcript()
    return transcript


def _playing(role: ServerRole, config: pytest.Config) -> Iterator[TargetServer]:
    """The server for a role. If it does not start, the run ends, because there is nothing to judge."""
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
