"""The table of all checks, and the report of what they find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pensieve import __version__
from pensieve.cli.doctor import answer, clients, installation, machine, server, storage
from pensieve.cli.doctor.check import Check, CheckResult, Subject, problem
from pensieve.cli.doctor.redaction import redactor

TABLE: Final[Sequence[tuple[str, Check]]] = (
    ("versions", installation.versions),
    ("device", installation.device),
    ("BLAS", installation.blas),
    ("memory", machine.memory),
    ("GPU limit", machine.gpu_limit),
    ("disk", machine.disk),
    ("open files", machine.descriptors),
    ("settings", server.settings),
    ("port", server.port),
    ("models", storage.models),
    ("prompt cache", storage.cache),
    ("Claude Code", clients.claude_version),
    ("its settings", clients.claude_settings),
    ("proxy", clients.proxy),
    ("an answer", answer.answer),
)


def examine(check: Check, subject: Subject) -> CheckResult:
    """What the check finds. One that fails does not keep the others from running."""
    try:
        return check(subject)
    except Exception as error:
        what = f"the check itself failed: {type(error).__name__}: {error}"
        return problem(what, "report it with the output of `pensieve doctor --json`")


def report(results: Mapping[str, CheckResult], environment: Mapping[str, str]) -> dict[str, Any]:
    """For a bug report: nothing in it says who the user is, or where on this machine things are."""
    redact = redactor(environment, (text for result in results.values() for text in result.private))
    return {
        "pensieve": __version__,
        "status": "problem" if any(result.status == "problem" for result in results.values()) else "ok",
        "checks": [
            {
                "name": name,
                "status": result.status,
                "what": redact(result.what),
                **({"fix": redact(result.fix)} if result.fix else {}),
            }
            for name, result in results.items()
        ],
    }
