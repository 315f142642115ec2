"""A turn of the real Claude Code with a model whose weights produce fixed answers, with Qwen3's tokenizer.

No script forces the tokens, so tool grammar, sampler, decoder and call parser work as with any other model. The model
chooses its answer by the length of the prompt, so each length is taken from the previous run.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.claude_code.client import ClaudeCode
from tests.claude_code.conftest import Start
from tests.claude_code.test_turns import GERMAN, long_form, results_in
from tests.dialects.outputs.table import output
from tests.dialects.real.families import family
from tests.dialects.rigged.model import write_rigged_model

WINDOW_TOKENS = 16384
TOOLS = ("--tools", "Read,Write", "--allowedTools", "Read Write")


def expected_answers(folder: Path) -> list[str]:
    qwen3 = output("qwen3")
    return [
        qwen3.says_and_calls("I will read it.", []) + qwen3.a_call("Read", file_path=str(folder / "notes.txt")),
        qwen3.a_call("Write", file_path=str(folder / "hafen.txt"), content=GERMAN),
        qwen3.says("It is translated."),
    ]


def run_turn(start: Start, models: Path, answers: Mapping[int, str]) -> tuple[ClaudeCode, Mapping[str, Any]]:
    """One turn, in an empty home and folder, with a model that gives these answers by prompt length."""
    folder = write_rigged_model(
        models / f"answers-{len(answers)}", family("qwen3"), answers, window_tokens=WINDOW_TOKENS
    )
    claude = start(folder.name, "--model", str(folder))
    for place in (claude.home, claude.folder):
        shutil.rmtree(place)
        place.mkdir()
    claude.write("notes.txt", "The harbour opens at seven.\n")
    return claude, claude.ask("Translate notes.txt into German.", *TOOLS)


@long_form
@pytest.mark.timeout(900)
def test_an_unscripted_turn_reads_a_file_and_writes_another(start: Start, tmp_path: Path) -> None:
    models = tmp_path / "models"
    claude, _ = run_turn(start, models, {})
    answers: dict[int, str] = {}
    for answer in expected_answers(claude.folder):
        unanswered = claude.recorder.messages[len(answers)]  # the client repeats the request after an empty answer
        answers[unanswered.prompt_tokens] = answer
        claude, result = run_turn(start, models, answers)
    assert (result["is_error"], result["result"]) == (False, "It is translated.")
    assert claude.read("hafen.txt") == GERMAN
    _, written, ended = claude.recorder.messages
    assert "The harbour opens at seven." in str(results_in(written))
    assert len(results_in(ended)) == 1
    assert claude.num_active() == 0
