"""What is printed for wrong usage: one sentence with a suggestion, then the usage of the command that was meant (U9).

`wrong_uses.txt` is a table to read: each command, and under it the sentence.
"""

from __future__ import annotations

import io
import shlex
import sys
from pathlib import Path
from typing import Final

import pytest

from pensieve.cli.main import main

_LINES: Final = (Path(__file__).parent / "wrong_uses.txt").read_text(encoding="utf-8").splitlines()
WRONG_USES: Final = [
    (command.removeprefix("$ pensieve "), sentence) for command, sentence in zip(_LINES[::2], _LINES[1::2], strict=True)
]


def test_there_are_a_hundred_wrong_uses() -> None:
    assert len({command for command, _ in WRONG_USES}) == len(WRONG_USES) >= 100


@pytest.mark.parametrize(("command", "sentence"), WRONG_USES)
def test_wrong_usage_is_one_sentence_with_a_suggestion_and_the_usage(
    command: str,
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path))
    monkeypatch.delenv("PENSIEVE_API_KEY", raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    try:
        status: int | str | None = main(shlex.split(command))
    except SystemExit as exit_:
        status = exit_.code
    captured = capsys.readouterr()
    first, *usage = captured.err.splitlines()
    assert (status, captured.out, first) == (2, "", sentence)
    if not sentence.startswith("pensieve: --") and "MODEL is a" not in sentence:  # a value: its sentence says it all
        assert usage[0].startswith(f"usage: {sentence.partition(':')[0]}")


@pytest.mark.parametrize("command", ["", "cache", "config", "keys", "models"])
def test_a_command_without_the_word_that_it_needs_prints_its_help(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    captured = capsys.readouterr()
    assert (ended.value.code, captured.err) == (0, "")
    assert captured.out.startswith(f"usage: {' '.join(['pensieve', *command.split()])}")
    assert max(map(len, captured.out.splitlines())) <= 80
