"""The table of all checks, and the report of what they find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pensieve import __version__
from pensieve.cli.doctor import answer, clients, installation, machine, server, storage
from pensieve.cli.doctor.finding import Check, Finding, Subject, problem
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


def examine(check: Check, subject: Subject) -> Finding:
    """What the check finds. One that fails does not keep the others from running."""
    try:
        return check(subject)
    except Exception as error:
        what = f"the check itself failed: {type(error).__name__}: {error}"
        return problem(what, "report it with the output of `pensieve doctor --json`")


def report(findings: Mapping[str, Finding], environment: Mapping[str, str]) -> dict[str, Any]:
    """For a bug report: nothing in it says who the user is, or where on this machine things are."""
    redact = redactor(environment, (text for finding in findings.values() for text in finding.private))
    return {
        "pensieve": __version__,
        "status": "problem" if any(finding.status == "problem" for finding in findings.values()) else "ok",
        "findings": [
            {
                "name": name,
                "status": finding.status,
                "what": redact(finding.what),
                **({"fix": redact(finding.fix)} if finding.fix else {}),
            }
            for name, finding in findings.items()
        ],
    }
