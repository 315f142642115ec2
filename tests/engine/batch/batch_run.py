"""Runs requests through a `Batch` step by step, and records what each step did."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mlx.core as mx

from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Sampling
from pensieve.device.mlx_lm.caches import ArraysCache
from pensieve.engine.batch.batch import Batch
from pensieve.engine.decoding.row import Computed
from pensieve.engine.kv.rows.forms import leaves
from pensieve.engine.kv.rows.row import RowKV
from pensieve.engine.kv.sizes import KVSizes
from pensieve.engine.memory.layout import Layout
from pensieve.engine.memory.probe import Probe
from pensieve.engine.options import EngineOptions
from pensieve.engine.prompt_cache.match import Match, MissReason
from pensieve.engine.requests.prompt import PreparedPrompt
from pensieve.models.loading.load import LoadedModel
from tests.engine.support.tiny_modules import continuation, prefill

CHUNK_TOKENS = 128
ROWS = KVSizes(layers=(None,) * 4, in_rows=True)  # type: ignore[arg-type]  # only their number counts here


class RecordedPasses:
    """A model that records the shape (rows, tokens) of each pass's input, and whether a recurrent layer's cache masks
    tokens in it.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.shapes: list[tuple[int, int]] = []
        self.are_masked: list[bool] = []

    def __call__(self, inputs: mx.array, **options: Any) -> mx.array:
        num_tokens = int(inputs.shape[1])
        self.shapes.append((int(inputs.shape[0]), num_tokens))
        recurrent = [each for each in leaves(options.get("cache", ())) if isinstance(each, ArraysCache)]
        self.are_masked.append(any(each.make_mask(num_tokens) is not None for each in recurrent))
        logits: mx.array = self._model(inputs, **options)
        return logits

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


class BatchRun:
    """`layout` is what the model's caches are in; rows by default, or mlx-lm's with `in_rows=False`."""

    def __init__(
        self,
        model: LoadedModel,
        *,
        in_rows: bool = True,
        chunk_tokens: int = CHUNK_TOKENS,
        deep_bytes: int = 100,
        layout: Layout | None = None,
    ) -> None:
        rows, batching, forms = layout or Layout("all" if in_rows else "none", "whole")
        sizes = ROWS if in_rows else KVSizes((), in_rows=False)
        probe = Probe(chunk_tokens, 100, 1024, deep_bytes, sizes, batching, rows, forms)
        self.passes = RecordedPasses(model.model)
        self.batch = Batch(replace(model, model=self.passes), probe, EngineOptions(), chunk_tokens=chunk_tokens)
        self.tokens: dict[int, list[int]] = {}
        self.prefilled: list[dict[int, int]] = []
        """For each step, the tokens prefilled so far of each prompt in it."""
        self.decoding: set[int] = set()
        """The rows whose prompts are complete."""
        self.ended: set[int] = set()
        self.computed: dict[int, Computed] = {}

    def insert(
        self,
        token_ids: list[int],
        max_tokens: int = 20,
        temperature: float = 0.0,
        cached: list[Any] | None = None,
        stops: tuple[int, ...] = (),
    ) -> int:
        """`cached` are caches of all tokens but the last."""
        request = GenerationRequest((ChatMessage(Role.USER, ""),), max_tokens, Sampling(temperature=temperature))
        match = Match(len(token_ids) - 1, cached, MissReason.NONE) if cached else Match(0, None, MissReason.EMPTY)
        uid = self.batch.insert(PreparedPrompt(request, token_ids), max_tokens, match, stops)
        self.tokens[uid] = []
        return uid

    def step(self) -> None:
        sampled, progress = self.batch.step()
        self.decoding |= {each.uid for each in progress if each.is_complete}
        self.prefilled.append({each.uid: each.num_tokens for each in progress})
        for each in sampled:
            assert each.uid not in self.ended, "nothing follows an end"
            self.tokens[each.uid].append(each.token_id)
            if each.finish_reason is not None:
                self.ended.add(each.uid)
                assert each.computed is not None
                self.computed[each.uid] = each.computed

    def finish(self) -> list[list[int]]:
        """Run to the end of all requests. Returns the tokens of each, in order of insertion."""
        for _ in range(500):
            if len(self.ended) == len(self.tokens):
                break
            self.step()
        return list(self.tokens.values())


def new_rows() -> list[RowKV]:
    return [RowKV() for _ in ROWS.layers]


def alone(model: LoadedModel, token_ids: list[int], num_tokens: int = 20) -> list[int]:
    """The greedy answer to a prompt that is decoded without a batch."""
    return continuation(model, prefill(model, token_ids[:-1]), token_ids[-1], num_tokens)
