"""`pensieve bench` against a real server: every figure comes from its answers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import httpx
import pytest

from pensieve.cli.chat import conversation
from pensieve.cli.main import main
from tests.support.running_server import scripted_server

SCRIPT = '[[reply]]\ntext = "tick "\nrepeat = 64\n'
NAMES = ("first token of a short prompt", "one answer", "4 answers at once")


class Clock:
    """A second passes between any two looks at it, however fast the machine is."""

    def __init__(self) -> None:
        self._seconds = itertools.count()

    def monotonic(self) -> float:
        return float(next(self._seconds))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with scripted_server(tmp_path_factory.mktemp("bench"), SCRIPT) as client:
        yield client


def test_the_figures_are_printed_as_json(
    server: httpx.Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "time", Clock())
    assert main(["bench", "scripted", "--url", str(server.base_url), "--json"]) == 0
    printed = capsys.readouterr()
    measured = json.loads(printed.out)
    assert measured["model"] == "scripted"
    figures = measured["figures"]
    assert set(NAMES) <= set(figures)
    assert [name for name in figures if name.endswith(" tokens")], "a prompt that was computed"
    assert [name for name in figures if name.endswith("from the prompt cache")]
    assert all(figure["value"] > 0 for figure in figures.values())
    assert figures["first token of a short prompt"] == {"value": 1.0, "unit": "s"}
    assert figures["one answer"] == {"value": 63.0, "unit": "tokens/s"}, "the 63 tokens that follow the first one"
    assert printed.err.count("pensieve: ") == len(figures), "each as soon as it is measured"


def test_the_figures_are_a_table(server: httpx.Client, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--url", str(server.base_url)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["SCRIPTED", "MEDIAN"]
    assert any(line.startswith("4 answers at once") and line.endswith("tokens/s") for line in lines)


def test_a_model_that_the_server_lacks_is_one_sentence(
    server: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "other", "--url", str(server.base_url)]) == 1
    assert capsys.readouterr().err.startswith(f"pensieve: the server at {str(server.base_url).rstrip('/')} serves")
