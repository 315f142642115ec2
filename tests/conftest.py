"""What tests of several folders share: fixtures, and what has to happen before the first of them runs.

Importing this file imports neither MLX nor an SDK, so that `tox -e fast` starts at once. A fixture imports what it
needs when a test asks for it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support.blas_first import BlasFirst

if TYPE_CHECKING:
    import anthropic

    from pensieve.models.files.model_folder import ModelFolder
    from tests.support.engines import MakeEngine

# ruff: noqa: PLC0415

sys.meta_path.insert(0, BlasFirst())

# No example has a deadline: the machines of CI are shared, and their pace varies. `tox -e fast` tries fewer examples.
hypothesis.settings.register_profile("pensieve", deadline=None)
hypothesis.settings.register_profile("fast", deadline=None, max_examples=10)
hypothesis.settings.load_profile("pensieve")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A llama of two layers with random weights and the embedded model's tokenizer."""
    from pensieve.models.files.progress import ConsoleProgress
    from pensieve.models.library.resolve import resolve
    from tests.support.tiny_model import write_tiny_model

    return resolve(str(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")), progress=ConsoleProgress())


@pytest.fixture
def make_engine(tiny_folder: ModelFolder) -> MakeEngine:
    """Starts engines of the tiny model, each with its own memory; a block's end closes its engine."""
    from tests.support.engines import engines_of

    return engines_of(tiny_folder)


@pytest.fixture(scope="session")
def embedded_client() -> Iterator[anthropic.Anthropic]:
    """The official SDK, strict, connected to `pensieve serve` with the real embedded model."""
    from pensieve.models.files.progress import ConsoleProgress
    from pensieve.models.library.embedded import SMOLLM2
    from pensieve.models.library.resolve import resolve
    from tests.support.sdk_client import serving

    resolve(SMOLLM2.name, progress=ConsoleProgress())  # a first download is no part of the server's start
    with serving() as client:
        yield client


@pytest.fixture
def tiny_client(tiny_folder: ModelFolder) -> Iterator[anthropic.Anthropic]:
    """The official SDK, strict, connected to `pensieve serve` with the tiny model: fast, and its answers are noise."""
    from tests.support.sdk_client import serving

    with serving("--model", str(tiny_folder.path)) as client:
        yield client
