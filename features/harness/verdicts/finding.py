"""What one run of a scenario found out, attached to pytest's report, which may go to another process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import pytest

from features.harness.verdicts.verdicts import About, Example, ScenarioVerdict

_ATTRIBUTE = "conformance"


@dataclass(frozen=True, slots=True)
class Finding:
    """`num_examples` and `place` say how many examples the scenario has and where it is in the suite's order; `model`
    is the requested model, None before a server is reached.
    """

    about: About
    example: Example
    num_examples: int
    place: int
    model: str | None


def attach(report: pytest.TestReport, finding: Finding) -> None:
    setattr(report, _ATTRIBUTE, json.dumps(asdict(finding)))


def finding_in(report: pytest.TestReport) -> Finding | None:
    """The finding of a scenario; None for any other test, and where a phase only prepares."""
    if (text := getattr(report, _ATTRIBUTE, None)) is None:
        return None
    plain = json.loads(text)
    about, example = plain.pop("about"), plain.pop("example")
    about.update({name: tuple(about[name]) for name in ("capabilities", "spec_rows")})
    example["verdict"] = ScenarioVerdict(example["verdict"])
    return Finding(About(**about), Example(**example), **plain)
