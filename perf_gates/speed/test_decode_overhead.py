"""The server's overhead over mlx-lm's own loop on the same model, alternated in one run (G-3.1)."""

from __future__ import annotations

import statistics

from pytest_benchmark.fixture import BenchmarkFixture

from pensieve.models.loading.load import LoadedModel
from perf_gates.loads.servers import ServerProcess
from perf_gates.measuring.measures import STORY, Timing, make_prompt, time_forward_passes, time_mlx_lm, time_stream
from perf_gates.reporting.report import Report

ROUNDS = 7
DECODE_ROUNDS = 15
"""Single pairs differ by up to 20 % on a machine with two cores."""
OUTPUT_TOKENS = 64
PROMPT_TOKENS = 512


def test_the_server_decodes_as_fast_as_the_bare_loop(
    benchmark: BenchmarkFixture, report: Report, server: ServerProcess, bare_model: LoadedModel
) -> None:
    time_mlx_lm(bare_model, STORY, 8)
    bare: list[Timing] = []
    passes: list[Timing] = []
    through_server: list[Timing] = []

    def time_bare() -> None:
        bare.append(time_mlx_lm(bare_model, STORY, OUTPUT_TOKENS))
        passes.append(time_forward_passes(bare_model, STORY, OUTPUT_TOKENS))

    def time_server() -> None:
        through_server.append(time_stream(server.url, STORY, OUTPUT_TOKENS))

    benchmark.pedantic(time_server, setup=time_bare, rounds=DECODE_ROUNDS, warmup_rounds=1)  # type: ignore[no-untyped-call]
    assert {timing.output_tokens for timing in bare + through_server} == {OUTPUT_TOKENS}
    pairs = list(zip(through_server[1:], bare[1:], strict=True))  # without the warm-up
    ratio = statistics.median(ours.tokens_per_second / theirs.tokens_per_second for ours, theirs in pairs)
    speed = statistics.median(ours.tokens_per_second for ours, _ in pairs)
    added_ms = 1000 * statistics.median(ours.first_token_seconds - theirs.first_token_seconds for ours, theirs in pairs)
    first_ratio = statistics.median(ours.first_token_seconds / theirs.first_token_seconds for ours, theirs in pairs)
    passes_ratio = statistics.median(
        own.tokens_per_second / theirs.tokens_per_second for own, theirs in zip(passes[1:], bare[1:], strict=True)
    )
    loss = 1 - ratio / max(1.0, passes_ratio)
    benchmark.extra_info.update(ratio=ratio, tokens_per_second=speed, added_first_token_ms=added_ms)
    report.add_note(f"Through the server: {speed:.1f} tokens/s, {ratio:.3f} of mlx-lm's own loop in the same run.")
    report.add_note(f"Forward passes alone, one BLAS thread and a duplicated row: {passes_ratio:.3f} of that loop.")
    report.judge("G-P1a", added_ms, f"(median of {DECODE_ROUNDS} pairs)")
    report.judge("G-3.2a", 100 * loss, "(loss of one stream against the faster of mlx-lm's loop and bare passes)")
    report.judge("G-P1h", first_ratio, f"(median of {DECODE_ROUNDS} pairs)")
    report.judge("G-3.1h", ratio, f"(median of {DECODE_ROUNDS} pairs)")
    report.judge("G-P1g", ratio, f"(median of {DECODE_ROUNDS} pairs)")
    report.judge("G-P1i", ratio, f"(median of {DECODE_ROUNDS} pairs)")


def test_the_first_token_after_512_tokens_is_fast(
    report: Report, server: ServerProcess, bare_model: LoadedModel
) -> None:
    """The server has no prompt cache, so every prompt is prefilled completely."""
    prompt = make_prompt(bare_model, PROMPT_TOKENS)
    timings = [(time_stream(server.url, prompt, 2), time_mlx_lm(bare_model, prompt, 2)) for _ in range(ROUNDS + 1)][1:]
    ours, theirs = (
        1000 * statistics.median(timing.first_token_seconds for timing in side) for side in zip(*timings, strict=True)
    )
    report.add_note(
        f"First token of a prompt of {PROMPT_TOKENS} tokens: {ours:.0f} ms, {ours / theirs:.2f} of mlx-lm's own loop."
    )
    report.judge("G-3.1a", ours, f"(a prompt of {PROMPT_TOKENS} tokens, median of {ROUNDS})")
