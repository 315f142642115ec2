"""Rewriting a file with one change takes at most half the passes of plain decoding, whatever kinds of caches there are.

The model's answer is a script, so that random weights can rewrite a file; its caches hold what it really computed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import mlx.core as mx
import pytest

from pensieve.engine.kv.rows.layers.take_rows import let_layers_take_rows
from pensieve.engine.memory.layout import layout_of
from tests.engine.batch.batch_run import BatchRun
from tests.engine.kv.models import small
from tests.engine.speculation.test_speculation import Eager

VOCABULARY: Final = 128
FILE: Final = tuple(range(100))
CHANGED: Final = 60
NEW: Final = 100
START: Final = 101
REWRITTEN: Final = [*FILE[:CHANGED], NEW, *FILE[CHANGED + 1 :]]


class Rewriting:
    """After each token comes the next one of the rewritten file."""

    def __init__(self, model: Any) -> None:
        following = [*range(1, VOCABULARY), 0]
        following[CHANGED - 1], following[NEW], following[START] = NEW, CHANGED + 1, FILE[0]
        self._following = mx.array(following)
        self._model = model

    def __call__(self, inputs: mx.array, **options: Any) -> mx.array:
        logits: mx.array = self._model(inputs, **options)
        scripted = mx.eye(logits.shape[-1])[self._following[inputs]]
        return scripted + 1e-6 * mx.tanh(logits)  # so that what the model computes is evaluated

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


@pytest.fixture(params=["gpt_oss", "deepseek_v3", "gemma4_text", "qwen3_5", "mamba2", "gemma2", "llama4"])
def run(request: pytest.FixtureRequest) -> BatchRun:
    model = small(request.param)
    let_layers_take_rows(model.model)
    return BatchRun(replace(model, model=Rewriting(model.model), eos_token_ids=frozenset()), layout=layout_of(model))


def test_a_rewritten_file_takes_half_the_passes(run: BatchRun) -> None:
    run.batch.speculate(Eager())
    run.insert([*FILE, START], len(REWRITTEN))
    assert run.finish() == [REWRITTEN]
    num_decoding = len(run.passes.shapes) - sum(tokens > 33 for _, tokens in run.passes.shapes)
    assert num_decoding <= len(REWRITTEN) / 2
