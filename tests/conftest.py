"""Fixtures that several test folders share, and the set-up before the first test.

This file imports neither MLX nor an SDK, so that `tox -e fast` starts at once. Fixtures import what they need when a
test uses them.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support.blas_first import BlasFirst

if TYPE_CHECKING:
    import anthropic

    from pensieve.models.files.model_folder import ModelFolder
    from tests.support.engines import MakeEngine

# ruff: noqa: PLC0415

_LONGEST = (
    "cli/serve/test_supervisor.py",
    "models/gguf/weights/test_formats.py",
    "mutants/test_mutants.py",
    "perf_gates/test_faults.py",
    "real_model/test_constrained_calls.py",
    "real_model/test_sdk_conversations.py",
    "sdk_suites/test_sdk_suites.py",
    "serving/test_model_churn.py",
    "serving/test_revival.py",
    "soak/test_soak.py",
)
"""They begin first. Each file runs in one process, so one that began last would keep the others waiting."""

sys.meta_path.insert(0, BlasFirst())
os.environ["PENSIEVE_CONFIG"] = os.devnull  # the developer's own settings must not reach the servers of tests

# A shell that starts a run in the background lets it ignore SIGINT, and every process that a test starts would inherit
# that.
if threading.current_thread() is threading.main_thread():
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)

# Examples have no deadline, because the speed of shared CI machines varies. `tox -e fast` tries fewer examples, always
# the same ones, because it judges the coverage.
hypothesis.settings.register_profile("pensieve", deadline=None)
hypothesis.settings.register_profile("fast", deadline=None, max_examples=6, derandomize=True)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=2000)
hypothesis.settings.load_profile("pensieve")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.as_posix().endswith(_LONGEST))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Nothing that collecting imports is garbage: Python looks through it for garbage neither now nor later."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A llama of two layers with random weights and the embedded model's tokenizer."""
    from pensieve.models.files.progress import ConsoleProgress
    from pensieve.models.library.resolve import resolve
    from tests.support.tiny_model import write_tiny_model

    return resolve(str(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")), progress=ConsoleProgress())


@pytest.fixture
def make_engine(tiny_folder: ModelFolder) -> MakeEngine:
    """Starts engines of the tiny model, each with its own memory. An engine closes when its block ends."""
    from tests.support.engines import engines_of

    return engines_of(tiny_folder)


@pytest.fixture(scope="session")
def embedded_client() -> Iterator[anthropic.Anthropic]:
    """The official SDK, strict, connected to `pensieve serve` with the real embedded model."""
    from pensieve.models.files.progress import ConsoleProgress
    from pensieve.models.library.embedded import SMOLLM2
    from pensieve.models.library.resolve import resolve
    from tests.support.sdk_client import serving

    resolve(SMOLLM2.name, progress=ConsoleProgress())  # so that the server starts without a download
    with serving() as client:
        yield client


@pytest.fixture
def tiny_client(tiny_folder: ModelFolder) -> Iterator[anthropic.Anthropic]:
    """The official SDK, strict, connected to `pensieve serve` with the tiny model, whose answers are noise."""
    from tests.support.sdk_client import serving

    with serving("--model", str(tiny_folder.path)) as client:
        yield client
