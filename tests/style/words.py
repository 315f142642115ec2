"""Finds words that this repository avoids, and suggests alternatives: `python -m tests.style.words [PATH ...]`.

It checks prose and identifiers in all text files and prints one line per finding. To quote someone else's text,
end the line with a comment that contains `words: quoted`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

INSTEAD: Final = {
    r"told": "reported, given, sent, emitted; or name the value",
    r"said": "printed, stated, generated, reported",
    r"asked": "requested, called, queried; a count is num_requests",
    r"whoever": "the caller, the client, a thread that",
    r"whomever": "the caller, the client",
    r"nobody": "no client, no caller, no thread; or say it without",
    r"somebody": "a client, a caller, another process",
    r"mend(?:s|ed|ing)?": "fix",
    r"anew": "again, or re- before the verb",
    r"heretofore|therein|thereof|whereof": "plain English",
    r"so many(?! (?:that|as))": "a number: n, num_tokens, as many as",
    r"in so many words": "explicitly",
    r"(?<!there )(?<!that )(?:is|are) no(?! (?:longer|more|less|fewer|different|better|worse))": "is not a, has no",
    r"(?<![a-z0-9]_)(?:most|least)_\w+": "max_, min_",
    r"goes by the name": "is called",
}
KEPT_NAMES: Final = frozenset({"most_common", "least_recently_used"})
EXCLUDED: Final = (
    "LICENSE",
    "docs/newcomer-questions.md",
    "tests/style/",
    "tests/dialects/outputs/outputs.toml",
    "docs/scorecards/",
)
OWN_HIDDEN: Final = frozenset({".ci", ".github"})
GENERATED: Final = frozenset({"__pycache__", "build", "dist", "results", "node_modules"})
QUOTED: Final = "words: quoted"
_SUFFIXES: Final = frozenset({".py", ".md", ".toml", ".feature", ".ini", ".yml", ".yaml"})
_WORD: Final = re.compile("|".join(f"(?P<w{i}>{pattern})" for i, pattern in enumerate(INSTEAD)), re.IGNORECASE)
_ADVICE: Final = tuple(INSTEAD.values())


def findings(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line number, word and alternative. Identifiers are split at underscores and capitals."""
    for number, line in enumerate(text.splitlines(), 1):
        if QUOTED in line:
            continue
        for found in _WORD.finditer(line):
            if _is_whole_word(line, found.start(), found.end()) and found[0] not in KEPT_NAMES:
                yield number, found[0], _ADVICE[int(str(found.lastgroup)[1:])]


def _is_whole_word(line: str, start: int, end: int) -> bool:
    """`told` is a word in `_told_at` and `ToldAnswer`, but not in `untold`."""
    before, after = line[start - 1 : start], line[end : end + 1]
    begins = not before.isalpha() or (line[start].isupper() and not before.isupper())
    return begins and not (after.isalpha() and after.islower())


def text_files(root: Path) -> Iterator[Path]:
    """The text files below a folder. Hidden folders are left out, except for those that hold our own text."""
    if root.is_file():
        yield root
        return
    for path in sorted(root.iterdir()):
        if path.is_dir():
            if path.name in OWN_HIDDEN or (not path.name.startswith(".") and path.name not in GENERATED):
                yield from text_files(path)
        elif path.suffix in _SUFFIXES:
            yield path


def main(arguments: Sequence[str]) -> int:
    num_found = 0
    for path in (path for argument in arguments or ["."] for path in text_files(Path(argument))):
        if path.suffix not in _SUFFIXES or path.as_posix().startswith(EXCLUDED):
            continue
        for number, word, advice in findings(path.read_text(encoding="utf-8")):
            num_found += 1
            print(f"{path}:{number}: {word!r}: write {advice}")
    return 1 if num_found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
