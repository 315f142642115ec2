"""Runs the suite in forks of one process that has imported it, so that a run starts at once.

Each line of the input is one run: pytest's arguments, the environment, and the file for the output. The answer is the
run's exit code.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import inspect
import itertools
import json
import os
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

import pytest

from features.harness.target.target import certificates

_IMPORTED_BY_STEPS = ("anthropic", "openai")
_PLUGIN = "features.harness.plugin"


def main() -> None:
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        pytest.main(["--collect-only", "features", *sys.argv[1:]])  # imports through pytest, which rewrites assertions
    for name in _IMPORTED_BY_STEPS:
        importlib.import_module(name)
    certificates()
    inspect.getmodule(main.__code__)  # which finds the file of every module, for the source lines of a failure
    plugins = _plugins()
    gc.freeze()
    for line in sys.stdin:
        run = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(run["arguments"], run["environment"], run["output"], plugins)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _plugins() -> list[ModuleType]:
    """What pytest would import by name. For every name it would search all installed packages."""
    names = [name for flag, name in itertools.pairwise(sys.argv) if flag == "-p"]
    suite = sys.modules[_PLUGIN]
    return [sys.modules[name] for name in (*names, *suite.pytest_plugins, _PLUGIN)]


def _run(arguments: Sequence[str], environment: Mapping[str, str], output: str, plugins: Sequence[ModuleType]) -> None:
    """Run pytest as a process of its own would, and end this process."""
    os.environ.clear()
    os.environ.update(environment)
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, output, os.O_WRONLY | os.O_CREAT)):
        os.dup2(os.open(path, flags, 0o600), number)
    os.dup2(1, 2)
    code = pytest.main(list(arguments), plugins=plugins)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
