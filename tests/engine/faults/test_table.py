"""Each stage of the generation loop raises, hangs and slows down: the page that says what follows is true."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.resolve import resolve
from tests.engine.faults.document import DOCUMENT, cases, committed, row
from tests.engine.faults.fault import Kind, Stage
from tests.engine.faults.observed import observe
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model

PAGE = committed((Path(__file__).parents[3] / DOCUMENT).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    path = write_byte_tokenizer(tmp_path_factory.mktemp("models") / "tiny")
    write_tiny_model(path, tokenizer_folder=path, vocab_size=259)
    return resolve(str(path), progress=ConsoleProgress())


@pytest.mark.parametrize(("stage", "kind"), cases(), ids=lambda value: value.value.replace(" ", "-"))
def test_a_fault_has_the_effect_that_the_page_describes(folder: ModelFolder, stage: Stage, kind: Kind) -> None:
    if kind in (Kind.HANG, Kind.SLOW) and stage is not Stage.DECODE and os.environ.get("PENSIEVE_CHAOS") != "all":
        pytest.skip("stages that hang or slow down, except for decoding: only in tox -e chaos")
    assert row(stage, kind, observe(folder, stage, kind)) == PAGE[stage.value, kind.value]


def test_the_page_has_no_other_rows() -> None:
    assert set(PAGE) == {(stage.value, kind.value) for stage, kind in cases()}
