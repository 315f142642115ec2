"""The command lines in README.md and docs/: those in blocks of a shell, and `pensieve …` in the text."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHELLS = {"sh", "bash", "console", "shell", "zsh", ""}
_FENCE = re.compile(r"^ *```(\S*)")
_INLINE = re.compile(
    r"(?<!`)`((?:pensieve|(?:\.venv/bin/)?tox -e|python -m|pytest|uvx?|pipx?|hf|pre-commit) [^`\n]+)`(?!`)"
)
_LOOKS_LIKE_A_SHELL = re.compile(r"^ *(\$ |pensieve [a-z]|tox |pip |python -m |brew )", re.MULTILINE)
_ASSIGNMENT = re.compile(r"^[A-Z_]+=")
_ENDS = {"&&", "||", "|", ";", "&"}


@dataclass(frozen=True, slots=True)
class ShellLine:
    """A line of a block that a reader would paste into a shell, or a command in the text."""

    page: str
    text: str


@dataclass(frozen=True, slots=True)
class CommandLine:
    """`words` are one command, without the variables before it and the redirections after it.

    A mention stands in a sentence and may be the beginning of a command alone, such as `pensieve keys add`.
    """

    page: str
    text: str
    words: tuple[str, ...]
    is_mention: bool

    @property
    def program(self) -> str:
        return self.words[0].rpartition("/")[2]


def pages() -> list[Path]:
    """All but the requirements, which also name commands that are only wanted."""
    documents = (page for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "requirements.md")
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *documents]


def shell_lines() -> Iterator[ShellLine]:
    for page in pages():
        for line in _shell_lines(page.read_text(encoding="utf-8")):
            if _split(line):
                yield ShellLine(str(page.relative_to(ROOT)), line)


def command_lines() -> Iterator[CommandLine]:
    for line in shell_lines():
        yield from (CommandLine(line.page, line.text, words, is_mention=False) for words in _commands(line.text))
    for line in mentions():
        yield from (CommandLine(line.page, line.text, words, is_mention=True) for words in _commands(line.text))


def mentions() -> Iterator[ShellLine]:
    """The commands in the text, without those that show a usage."""
    for page in pages():
        for span in _INLINE.findall(_without_blocks(page.read_text(encoding="utf-8"))):
            if not any(mark in span for mark in (" [", "…", "...")):
                yield ShellLine(str(page.relative_to(ROOT)), span)


def _shell_lines(text: str) -> Iterator[str]:
    """The lines of blocks that a reader would paste into a shell; a block without a language if it looks like one."""
    language, block = None, list[str]()
    for line in text.splitlines():
        fence = _FENCE.match(line)
        if fence and language is None:
            language, block = fence[1], []
        elif fence:
            if language in SHELLS and (language or _LOOKS_LIKE_A_SHELL.match("\n".join(_uncommented(block)))):
                yield from "\n".join(block).replace("\\\n", " ").splitlines()
            language = None
        elif language is not None:
            block.append(line)


def _uncommented(block: list[str]) -> Iterator[str]:
    return (line for line in block if line.strip() and not line.lstrip().startswith("#"))


def _without_blocks(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)


def _commands(line: str) -> Iterator[tuple[str, ...]]:
    words = _split(line.removeprefix("$ "))
    command: list[str] = []
    for word in [*words, ";"]:
        if word not in _ENDS:
            command.append(word)
            continue
        while command and _ASSIGNMENT.match(command[0]):
            command.pop(0)
        if command:
            yield tuple(_without_redirections(command))
        command = []


def _split(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    for word in lexer:
        if word.startswith("#"):
            break
        words.append(word)
    return words


def _without_redirections(words: list[str]) -> Iterator[str]:
    for word in words:
        if re.match(r"^\d*[<>]", word):
            return
        yield word
