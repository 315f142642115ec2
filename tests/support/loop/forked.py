"""Runs the tests in several processes, copies of the first one after it has collected them: `pytest -p
tests.support.loop.forked`, as `tox -e fast` has it.

With pytest-xdist each process imports and collects everything itself, and the reports of a test take it more than a
millisecond, longer than most pure tests.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Generator
from dataclasses import dataclass

import pytest

MAX_PROCESSES = 4


def pytest_addoption(parser: pytest.Parser) -> None:
    number = min(os.cpu_count() or 1, MAX_PROCESSES)
    parser.addoption("--processes", type=int, default=number, help="how many processes run the tests")


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Each process runs every n-th test, and then ends as pytest does. The first one reports for all of them."""
    option, items = session.config.option, session.items
    if session.testsfailed or option.collectonly or option.usepdb:
        return (yield)
    copies: list[_Copy] = []
    for number in range(1, option.processes):
        reader, writer = os.pipe()
        pid = os.fork()
        os.close(reader if pid == 0 else writer)
        if pid == 0:
            session.items = items[number :: option.processes]
            return (yield from _as_copy(session.config, writer))
        copies.append(_Copy(pid, reader))
    session.items = items[:: option.processes]
    try:
        return (yield)
    finally:
        session.items = items
        for copy in copies:
            copy.report(session)


def _as_copy(config: pytest.Config, writer: int) -> Generator[None, object, object]:
    """Run the tests, and write their reports for the first process instead of the user."""
    reports = _Reports()
    config.pluginmanager.unregister(name="terminalreporter")
    config.pluginmanager.register(reports)
    vars(config)["workerinput"] = {}  # with it, pytest's cache is written by the first process alone
    try:
        return (yield)
    finally:
        to_data = config.hook.pytest_report_to_serializable
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump([to_data(config=config, report=report) for report in reports.found], pipe)


class _Reports:
    def __init__(self) -> None:
        self.found: list[pytest.TestReport] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:  # a set-up that went well is nothing to report
            self.found.append(report)


@dataclass(frozen=True, slots=True)
class _Copy:
    pid: int
    reader: int

    def report(self, session: pytest.Session) -> None:
        """Wait for its reports, and report them as this process's own."""
        hook = session.config.hook
        with os.fdopen(self.reader, "rb") as pipe:
            written = pipe.read()
        if not written:
            raise session.Interrupted("a process that ran a part of the tests died")
        for data in pickle.loads(written):  # noqa: S301 - of a copy of this process
            report = hook.pytest_report_from_serializable(config=session.config, data=data)
            hook.pytest_runtest_logreport(report=report)
        os.waitpid(self.pid, 0)
