"""Every verdict of a run as JSON, for programs."""

from __future__ import annotations

import json
from typing import Any

from features.harness.verdicts.run_record import RunRecord
from features.harness.verdicts.verdicts import Example, Judgement, ScenarioVerdict


def rendered(record: RunRecord) -> str:
    file = record.judged.file
    document = {
        "suite_version": record.suite_version,
        "started_at": record.started_at.isoformat(timespec="seconds"),
        "seconds": round(record.seconds, 1),
        "target": {
            "name": record.target_name,
            "url": record.url,
            "model": record.model,
            "note": file.note,
            "declared": sorted(record.judged.declared),
            "undeclared": list(record.undeclared),
            "disabled": dict(file.disabled),
            "expected_failures": dict(file.expected_failures),
        },
        "scenarios_left_out": record.left_out,
        "summary": {verdict: len(record.with_verdict(verdict)) for verdict in ScenarioVerdict},
        "scenarios": [_scenario(judgement) for judgement in record.judgements],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _scenario(judgement: Judgement) -> dict[str, Any]:
    about = judgement.about
    return {
        "id": about.id,
        "verdict": judgement.verdict,
        "level": about.level,
        "capability": about.home,
        "needs": list(about.capabilities),
        "spec": list(about.spec_rows),
        "chapter": about.chapter,
        "rule": about.rule,
        "name": about.name,
        "reason": judgement.reason,
        "seconds": round(judgement.seconds, 3),
        "examples": [_example(example) for example in judgement.examples],
    }


def _example(example: Example) -> dict[str, Any]:
    return {
        "label": example.label,
        "verdict": example.verdict,
        "reason": example.reason,
        "seconds": round(example.seconds, 3),
        **({"transcript": example.transcript} if example.transcript else {}),
    }
