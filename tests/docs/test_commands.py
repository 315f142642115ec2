"""Every command line that the documentation shows is one that this version understands. `running/` runs them."""

from __future__ import annotations

import configparser
import contextlib
import importlib.util
import io
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import chain, takewhile

import pytest

from pensieve.cli.launch.command import parse_launch
from pensieve.cli.main import build_parser
from tests.docs.command_lines import ROOT, CommandLine, command_lines, pages

NOT_CHECKED: Mapping[str, str] = {
    ".": "the shell's own",
    "aider": "another program, which tests/clients runs",
    "brew": "installs on a Mac",
    "cd": "the shell's own",
    "claude": "another program, which tests/claude_code runs",
    "docker": "needs Docker",
    "eval": "the shell's own; tests/cli/launch evaluates what it evaluates",
    "export": "the shell's own",
    "git": "fetches this repository, whose address is not known here",
    "hf": "logs in to the hub",
    "iex": "PowerShell's own",
    "llm": "another program, which tests/clients runs",
    "mkdir": "the system's own",
    "npm": "installs another program, which tests/claude_code runs",
    "Out-String": "PowerShell's own",
    "pip": "installs; tox -e newcomer and tox -e wheel do",
    "pipx": "installs; tox -e newcomer does",
    "pre-commit": "installs a hook into a clone",
    "python3": "makes a virtual environment",
    "python3.12": "makes a virtual environment",
    "qwen": "another program, which tests/clients runs",
    "source": "fish's own",
    "uv": "installs; tox -e newcomer does",
    "uvx": "installs; tox -e newcomer does",
    "xcode-select": "installs on a Mac",
}
LINES = tuple(dict.fromkeys(command_lines()))
_TOML = re.compile(r"^```toml\n(.*?)^```", re.DOTALL | re.MULTILINE)


def test_the_pages_show_commands() -> None:
    assert len(pages()) > 30
    assert sum(line.program == "pensieve" for line in LINES) > 60
    assert {line.page for line in LINES} >= {"README.md", "docs/claude-code-on-a-mac.md", "docs/models.md"}


def test_every_command_of_the_documentation_is_understood() -> None:
    wrong = [f"{line.page}: {line.text}\n    {problem}" for line in LINES if (problem := problem_of(line))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "words",
    [
        ("pensieve", "serv"),
        ("pensieve", "serve", "--modle", "m"),
        ("pensieve", "models", "pull"),
        ("pensieve", "launch", "claude", "--port", "none"),
        (".venv/bin/tox", "-e", "tests,no-such-environment"),
        ("pytest", "tests/no_such_folder"),
        ("python", "-m", "pensieve.no_such_module"),
        ("curl", "-d", "{model}"),
        ("unknown-program",),
    ],
    ids=" ".join,
)
def test_a_wrong_command_is_found(words: tuple[str, ...]) -> None:
    assert problem_of(CommandLine("README.md", " ".join(words), words, is_mention=False)) is not None


def test_every_marked_program_is_shown_somewhere() -> None:
    assert not set(NOT_CHECKED) - {line.program for line in LINES}


def test_ci_calls_environments_that_exist() -> None:
    calls = re.findall(r"run: tox (.*)", (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert len(calls) > 5
    assert [problem for call in calls if (problem := _problem_of_tox(call.split()))] == []


def test_every_block_of_toml_can_be_read() -> None:
    blocks = [block for page in pages() for block in _TOML.findall(page.read_text(encoding="utf-8"))]
    assert len(blocks) > 3
    for block in blocks:
        assert tomllib.loads(block), block


def problem_of(line: CommandLine) -> str | None:
    if line.program == "pensieve":
        return _problem_of_mention(line.words[1:]) if line.is_mention else _problem_of_pensieve(line.words[1:])
    if line.program in CHECKS:
        return CHECKS[line.program](line.words[1:])
    return None if line.program in NOT_CHECKED else f"{line.program} is neither checked nor marked with a reason"


def _problem_of_pensieve(words: Sequence[str]) -> str | None:
    """What the command's own parser answers, if it refuses the words."""
    output = io.StringIO()
    with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):
        try:
            if words[:2] == ("launch", "claude"):
                parse_launch(words[2:], {})
            else:
                build_parser().parse_args(words)
        except SystemExit as ended:
            return output.getvalue() if ended.code else None
    return None


def _problem_of_mention(words: Sequence[str]) -> str | None:
    """None as well if it is the name of a command, or ends with a flag whose value is missing."""
    problem = _problem_of_pensieve(words)
    completed = ((*words, "--help"), (*words, "1"))
    return problem if all(_problem_of_pensieve(attempt) for attempt in completed) else None


@cache
def _environments() -> frozenset[str]:
    file = configparser.ConfigParser(interpolation=None)
    file.read(ROOT / "tox.ini", encoding="utf-8")
    names = (section.partition(":")[2] for section in file.sections() if section.startswith("testenv:"))
    return frozenset(chain.from_iterable(_variants(name) for name in names))


def _variants(name: str) -> Iterable[str]:
    """The names that `dialects{,-short}` stands for."""
    base, _, factors = name.partition("{")
    return [base + factor for factor in factors.rstrip("}").split(",")]


def _problem_of_tox(words: Sequence[str]) -> str | None:
    if "-e" not in words:
        return None
    unknown = set(words[words.index("-e") + 1].split(",")) - _environments()
    return f"tox.ini has no {unknown}" if unknown else None


def _problem_of_pytest(words: Sequence[str]) -> str | None:
    paths = takewhile(lambda word: not word.startswith("-"), words)
    missing = [path for path in paths if not (ROOT / path).exists()]
    return f"{missing} do not exist" if missing else None


def _problem_of_python(words: Sequence[str]) -> str | None:
    if words[0] != "-m":
        return None
    try:
        found = importlib.util.find_spec(words[1])
    except ModuleNotFoundError:
        found = None
    return None if found else f"there is no module {words[1]}"


def _problem_of_curl(words: Sequence[str]) -> str | None:
    if "-d" not in words:
        return None
    try:
        json.loads(words[words.index("-d") + 1])
    except ValueError as error:
        return f"the body is not JSON: {error}"
    return None


CHECKS: Mapping[str, Callable[[Sequence[str]], str | None]] = {
    "curl": _problem_of_curl,
    "pytest": _problem_of_pytest,
    "python": _problem_of_python,
    "tox": _problem_of_tox,
}
