"""What holding an answer to a grammar costs while it is decoded, held and free answers alternated in one run (W14)."""

from __future__ import annotations

import statistics
from typing import Any

from pensieve.models.files.model_folder import ModelFolder
from perf_gates.loads.servers import serving
from perf_gates.measuring.measures import STORY, Timing, time_stream
from perf_gates.reporting.report import Report

ROUNDS = 5
OUTPUT_TOKENS = 64
MIN_RATIO = 0.9

_LONG_LIST = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 999}, "minItems": 60}
_HELD: dict[str, Any] = {
    "output_config": {
        "format": {
            "type": "json_schema",
            "schema": {"type": "object", "properties": {"numbers": _LONG_LIST}, "required": ["numbers"]},
        }
    }
}


def test_a_held_answer_decodes_at_nine_tenths_of_a_free_one(report: Report, folder: ModelFolder) -> None:
    """Both token by token: what speculation brings to free text is another gate's affair."""
    ratios: list[float] = []
    arguments = ("--model", str(folder.path), "--cache-memory", "0", "--cache-disk", "0", "--no-speculation")
    with serving(*arguments) as server:
        for number in range(ROUNDS + 1):
            free = time_stream(server.url, STORY, OUTPUT_TOKENS)
            held = time_stream(server.url, STORY, OUTPUT_TOKENS, **_HELD)
            if number:  # the first pair compiles the grammar
                ratios.append(_decode_ratio(held, free))
    ratio = statistics.median(ratios)
    report.add_note(
        f"Held to a JSON schema, an answer decodes at {ratio:.3f} of a free one's speed (median of {ROUNDS} pairs)."
    )
    assert ratio >= MIN_RATIO, f"expected at least {MIN_RATIO} of the free speed, actual {ratio:.3f}"


def _decode_ratio(held: Timing, free: Timing) -> float:
    return held.tokens_per_second / free.tokens_per_second
