"""Each command that the pages show is run in a reader's home, or its page says why it was not."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pytest

from pensieve.cli.servers.processes import server_processes
from tests.docs.command_lines import ROOT, CommandLine, ShellLine, mentions, pages, shell_lines
from tests.docs.running.reasons import PAGES_FOR_CONTRIBUTORS, reason_of, without_comment
from tests.docs.running.sandbox import Sandbox
from tests.docs.test_commands import problem_of

PLACEHOLDER = re.compile(r"\b(ALIAS|FILE|MODEL|NAME|M)\b")
NAMES_OF_COMMANDS = {"pensieve models", "pensieve models import", "pensieve service"}
"""Mentioned without the words that they need."""

SandboxOf = Callable[[str], Sandbox]


def lines() -> Iterator[ShellLine]:
    """Page by page, those in blocks, then whole commands in the text that no block shows."""
    shown = list(shell_lines())
    in_blocks = {without_comment(line.text) for line in shown}
    more = dict.fromkeys(line for line in mentions() if line.text not in in_blocks and is_whole(line))
    names = [str(page.relative_to(ROOT)) for page in pages()]
    return iter(sorted(chain(dict.fromkeys(shown), more), key=lambda line: names.index(line.page)))


def is_whole(line: ShellLine) -> bool:
    words = tuple(line.text.split())
    is_ours = words[0] == "pensieve" and not PLACEHOLDER.search(line.text) and line.text not in NAMES_OF_COMMANDS
    return is_ours and problem_of(CommandLine(line.page, line.text, words, is_mention=False)) is None


LINES = tuple(lines())


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line.page}: {without_comment(line.text)}")
@pytest.mark.skipif(not os.environ.get("PENSIEVE_DOCS"), reason="only in tox -e commands")
def test_a_command_works(line: ShellLine, sandbox_of: SandboxOf) -> None:
    if reason := reason_of(line):
        pytest.skip(reason.text)
    sandbox_of(line.page).run(line.text)


def test_a_page_for_users_says_which_of_its_commands_were_not_run() -> None:
    unmarked = [
        f"{line.page}: {line.text}\n    {reason.text}: expected {reason.mark!r}"
        for line in shell_lines()
        if line.page not in PAGES_FOR_CONTRIBUTORS and (reason := reason_of(line)) and reason.mark
        if reason.mark not in (line.text if reason.mark == "†" else (ROOT / line.page).read_text(encoding="utf-8"))
    ]
    assert not unmarked, "\n".join(unmarked)


def test_most_commands_for_users_are_run() -> None:
    """So that no reason covers more than it is meant for."""
    ours = [line for line in LINES if "pensieve" in line.text and line.page not in PAGES_FOR_CONTRIBUTORS]
    assert sum(reason_of(line) is None for line in ours) > 50


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, hub: str) -> Path:
    """The machine of a reader who has begun with the README: the embedded model is there."""
    from tests.docs.running.stand_ins import write_files_of_reader  # noqa: PLC0415 - MLX, for lines that are run

    empty = tmp_path_factory.mktemp("empty")
    for name in ("home", "work"):
        (empty / name).mkdir()
    reader = Sandbox(tmp_path_factory.mktemp("prepared") / "machine", empty, hub)
    reader.run("pensieve serve")
    reader.stop()
    write_files_of_reader(reader.home, reader.work)
    return reader.folder


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from tests.docs.running.stand_ins import hub_of_pages  # noqa: PLC0415 - MLX, for lines that are run

    with hub_of_pages(tmp_path_factory.mktemp("hub")) as url:
        yield url


@pytest.fixture(scope="session")
def sandbox_of(tmp_path_factory: pytest.TempPathFactory, prepared: Path, hub: str) -> Iterator[SandboxOf]:
    """The sandbox of a page. That of the page before is closed."""
    assert not list(server_processes()), "a server of this user runs, which these commands would find, and stop"
    current: dict[str, Sandbox] = {}

    def sandbox_of(page: str) -> Sandbox:
        if page not in current:
            close()
            current[page] = Sandbox(tmp_path_factory.mktemp("reader") / "machine", prepared, hub)
        return current[page]

    def close() -> None:
        while current:
            current.popitem()[1].stop()

    yield sandbox_of
    close()
