"""The decoding cost of constraining an answer to a grammar, alternated with free answers in one run (W14)."""

from __future__ import annotations

import statistics
from typing import Any

from pensieve.models.files.model_folder import ModelFolder
from perf_gates.loads.servers import serving
from perf_gates.measuring.measures import STORY, time_stream
from perf_gates.reporting.report import Report

ROUNDS = 5
OUTPUT_TOKENS = 64
MIN_RATIO = 0.9

_LONG_LIST = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 999}, "minItems": 60}
_CONSTRAINED: dict[str, Any] = {
    "output_config": {
        "format": {
            "type": "json_schema",
            "schema": {"type": "object", "properties": {"numbers": _LONG_LIST}, "required": ["numbers"]},
        }
    }
}


def test_a_constrained_answer_decodes_at_90_percent_of_a_free_one(report: Report, folder: ModelFolder) -> None:
    """Without speculation, whose gain on free text is measured elsewhere."""
    ratios: list[float] = []
    arguments = ("--model", str(folder.path), "--cache-memory", "0", "--cache-disk", "0", "--no-speculation")
    with serving(*arguments) as server:
        for number in range(ROUNDS + 1):
            free = time_stream(server.url, STORY, OUTPUT_TOKENS)
            constrained = time_stream(server.url, STORY, OUTPUT_TOKENS, **_CONSTRAINED)
            if number:  # the first pair compiles the grammar
                ratios.append(constrained.tokens_per_second / free.tokens_per_second)
    ratio = statistics.median(ratios)
    report.add_note(
        f"Constrained to a JSON schema, an answer decodes at {ratio:.3f} of the free speed (median of {ROUNDS} pairs)."
    )
    assert ratio >= MIN_RATIO, f"expected at least {MIN_RATIO} of the free speed, actual {ratio:.3f}"
