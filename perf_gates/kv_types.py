"""Compares 8-bit keys and values with the model's own type: `python -m perf_gates.kv_types` prints the table.

Rounds alternate between the two types, because a machine's speed drifts. Figures are medians of the rounds.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pensieve.device import blas

blas.preload()  # before anything imports MLX

# ruff: noqa: E402
import mlx.core as mx

from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.row import RowKV
from pensieve.engine.kv.sizes import measured_sizes
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.embedded import SMOLLM2
from pensieve.models.library.resolve import resolve
from pensieve.models.loading.load import LoadedModel, load
from perf_gates.measuring.measures import LINE

ROUNDS, STEPS, CHUNK, TEXT_TOKENS = 3, 64, 128, 1024
TYPES = (None, 8)
TEXT = Path(__file__).parents[1] / "ARCHITECTURE.md"


class SingleRequest:
    """Runs one request with a KV cache of one type."""

    def __init__(self, model: LoadedModel, bits: int | None) -> None:
        self._model = model
        self.rows = [RowKV(bits=bits) for _ in model.model.layers]

    def logits(self, token_ids: Sequence[int]) -> mx.array:
        """Append the tokens and return logits of shape [tokens, vocabulary], f32."""
        caches = [RowsKV([row]) for row in self.rows]
        logits: mx.array = self._model.model(mx.array([list(token_ids)]), cache=caches)[0].astype(mx.float32)
        mx.eval(logits)
        return logits


def continuation(model: LoadedModel, bits: int | None, prompt: Sequence[int]) -> tuple[list[int], float]:
    """The greedy continuation of a prompt, and the decoding speed in tokens/s."""
    request = SingleRequest(model, bits)
    for start in range(0, len(prompt), CHUNK):
        logits = request.logits(prompt[start : start + CHUNK])
    token_ids: list[int] = []
    began = time.perf_counter()
    for _ in range(STEPS):
        token_ids.append(int(mx.argmax(logits[-1])))
        logits = request.logits(token_ids[-1:])
    return token_ids, STEPS / (time.perf_counter() - began)


def perplexity(model: LoadedModel, bits: int | None, token_ids: Sequence[int]) -> float:
    """The perplexity of a text prefilled in small chunks, so that most attention reads from the cache."""
    request, total = SingleRequest(model, bits), 0.0
    for start in range(0, len(token_ids) - 1, 32):
        targets = mx.array(list(token_ids[start + 1 : start + 33]))
        logits = request.logits(token_ids[start : start + 32])[: targets.size]
        chosen = mx.take_along_axis(logits, targets[:, None], axis=1)[:, 0]
        total += float(mx.sum(mx.logsumexp(logits, axis=-1) - chosen))
    return math.exp(total / (len(token_ids) - 1))


def bytes_per_token(model: LoadedModel, bits: int | None) -> int:
    request = SingleRequest(model, bits)
    request.logits([1])
    return measured_sizes(request.rows).bytes_per_token


def main() -> int:
    model = load(resolve(SMOLLM2.name, progress=ConsoleProgress()))
    prompt = model.tokenizer.apply_chat_template(
        [{"role": "user", "content": f"{LINE * 30}Go on."}], add_generation_prompt=True
    )
    speeds: dict[int | None, list[float]] = {bits: [] for bits in TYPES}
    continuations: dict[int | None, list[int]] = {}
    for _ in range(ROUNDS):
        for bits in TYPES:
            continuations[bits], speed = continuation(model, bits, prompt)
            speeds[bits].append(speed)
    text = model.tokenizer.encode(TEXT.read_text(encoding="utf-8"))[:TEXT_TOKENS]
    print(
        "| KV | bytes per token | decoding, 600 tokens in | perplexity | equal greedy tokens |\n|---|---|---|---|---|"
    )
    for bits in TYPES:
        ratio = statistics.median(speeds[bits]) / statistics.median(speeds[None])
        same = sum(one == other for one, other in zip(continuations[bits], continuations[None], strict=True))
        cells = [f"{bytes_per_token(model, bits)}", f"{ratio:.2f}", f"{perplexity(model, bits, text):.3f}"]
        print(f"| {bits or 'own type'} | {' | '.join(cells)} | {same} of {STEPS} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
