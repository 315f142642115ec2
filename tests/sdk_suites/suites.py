"""The suites of `suites.toml`: fetched, run against a server, and their failures compared with the expected ones."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.support.packages import python_with, source_of

FOLDER = Path(__file__).parent
_SECONDS = 3600  # finds a hang, on a machine however slow


@dataclass(frozen=True, slots=True)
class ExpectedFailure:
    tests: str
    error: str
    reason: str


@dataclass(frozen=True, slots=True)
class Correction:
    """`text` is a regular expression for what a request contains, `becomes` what it contains instead."""

    text: str
    becomes: str
    reason: str


@dataclass(frozen=True, slots=True)
class Result:
    """`error` is the text of the failure, and empty if the test passed."""

    test: str
    error: str


@dataclass(frozen=True, slots=True)
class Suite:
    package: str
    version: str
    requirements: tuple[str, ...]
    options: str
    base_path: str
    paths: tuple[str, ...]
    exceptions: tuple[ExpectedFailure, ...] = ()
    corrections: tuple[Correction, ...] = ()

    def run(self, server_url: str, report: Path) -> list[Result]:
        """Run the suite's tests that validate strictly. The loose ones send the same requests and check less.

        The tests with all parameters run twice: as they are, and corrected.

        Raises:
            NotInstalledError: PyPI cannot be reached.
        """
        python = python_with(FOLDER / ".suites" / self.package, *self.requirements)
        source = source_of(FOLDER / ".suites/sources", self.package, self.version)
        command = [
            str(python),
            "-m",
            "pytest",
            "-q",
            "-o",
            f"addopts=--tb=line {self.options}",
            "-p",
            "no:cacheprovider",
        ]
        chosen = "not loose and (all_params or not corrected)"
        command += ["-k", chosen, f"--junitxml={report}", *self.paths, *self._corrected(source)]
        environment = {"PATH": os.environ["PATH"], "TEST_API_BASE_URL": server_url + self.base_path}
        ended = subprocess.run(
            command, cwd=source, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        assert ended.returncode in (0, 1), f"{self.package}'s tests did not run: {ended.stdout[-3000:]}{ended.stderr}"
        return list(_results(report))

    def surprises(self, results: list[Result]) -> list[str]:
        """What differs from the expectation: unexpected failures, and exceptions that are no longer true."""
        failures = [result for result in results if result.error]
        unexpected = [
            result for result in failures if not any(self._covers(known, result) for known in self.exceptions)
        ]
        stale = [
            f"not true any more, remove or correct it: {known}"
            for known in self.exceptions
            for matching in [[result for result in results if fnmatchcase(result.test, known.tests)]]
            if not matching or not all(known.error in result.error for result in matching)
        ]
        return [f"{result.test}: {result.error}" for result in unexpected] + stale

    def _corrected(self, source: Path) -> Iterator[str]:
        """Write a corrected copy of each file that the corrections change, and return its path."""
        for path in self.paths if self.corrections else ():
            original = source / path
            text = original.read_text(encoding="utf-8")
            for correction in self.corrections:
                text = re.sub(correction.text, correction.becomes, text, flags=re.MULTILINE | re.DOTALL)
            corrected = original.with_name(f"{original.stem}_corrected.py")
            corrected.write_text(text, encoding="utf-8")
            yield str(corrected.relative_to(source))

    def _covers(self, known: ExpectedFailure, result: Result) -> bool:
        return fnmatchcase(result.test, known.tests) and known.error in result.error


def load_suites() -> dict[str, Suite]:
    document = tomllib.loads((FOLDER / "suites.toml").read_text(encoding="utf-8"))
    return {package: _suite(package, table) for package, table in document["suite"].items()}


def _suite(package: str, table: dict[str, Any]) -> Suite:
    exceptions = tuple(ExpectedFailure(**known) for known in table.pop("exception", []))
    corrections = tuple(Correction(**each) for each in table.pop("correction", []))
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return Suite(package, exceptions=exceptions, corrections=corrections, **fields)


def _results(report: Path) -> Iterator[Result]:
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - our own pytest wrote it
        failure = case.find("failure")
        if failure is None:
            failure = case.find("error")
        module = case.attrib["classname"].removeprefix("tests.api_resources.")
        yield Result(f"{module}.{case.attrib['name']}", failure.attrib["message"] if failure is not None else "")
