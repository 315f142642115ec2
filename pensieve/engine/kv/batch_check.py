"""Checks by running a model whether it computes the same for batched requests as for each request alone.

mlx-lm's models need not be written with batches in mind: some fail with more than one row, and some silently compute
something else (a mask that is broadcast along the wrong axis). A config does not reveal that.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import mlx.core as mx

Batching = Literal["whole", "decoding", "separate", "none"]
"""What may be batched: prefill and decoding; decoding only, because padding leaks into a shorter prompt; nothing, but a
step may have a pass for each of several requests; nothing, and requests have to wait for each other.
"""

TOLERANCE: Final = 0.03
"""Relative to the largest logit."""
HALF_TOLERANCE: Final = 0.5
"""The same for half precision, against one request alone.

Batches run other kernels, in another order: in a deep bfloat16 model that came to 0.29 (random weights, on a GPU). The
comparison of two batches catches what this lets through.
"""
WARNINGS: Final[Mapping[Batching, str]] = {
    "whole": "",
    "decoding": (
        "%s prefills one prompt at a time, because its mlx-lm model lets a shorter prompt's padding affect the answer; "
        "answers are decoded together"
    ),
    "separate": (
        "%s runs a pass for each request, one after another in each step: batched, its mlx-lm model would not give "
        "each the answer that it gets alone"
    ),
    "none": (
        "%s answers one request at a time, and others wait their turn: beside others, its mlx-lm model would not give "
        "each the answer that it gets alone"
    ),
}
"""Log messages for each kind of model."""

_LONG, _SHORT = (1, 2, 3, 4, 5), (6, 7, 8)
_OTHER_LONG: Final = (11, 9, 10, 8, 7)
"""Replaces the first prompt, which must not change anything for the others."""
_CACHED, _REST = (3, 1), (4, 1, 5, 9)
"""A prompt whose beginning is computed before it joins the batch, as if it came from the prompt cache."""
_PROMPTS: Final = (_LONG, _SHORT, (*_CACHED, *_REST))
_NEXT: Final = ((9, 2), (5, 6))
"""The tokens that follow each prompt: two with all three rows, and two after the first row has left."""

Prepare = Callable[[list[Any]], list[Any]]

Steps = list[mx.array]
"""A row's logits, step by step."""


def distance(one: Sequence[mx.array], other: Sequence[mx.array]) -> float:
    """How far two rows' logits differ at the step where they differ least, relative to the largest logit.

    A fault shows in every step. In a single step, half precision may have routed the token to another expert.
    """
    shares = [
        float(mx.max(mx.abs(here - there)) / mx.max(mx.abs(here))) for here, there in zip(one, other, strict=True)
    ]
    return min(share if math.isfinite(share) else math.inf for share in shares)


def logits_alone(model: Any) -> Sequence[Steps]:
    """What the checks of one model compare with. It takes fifteen passes, and is the same for all of them."""
    return [_alone(model, prompt) for prompt in _PROMPTS]


def batching_of(model: Any, alone: Sequence[Steps], prepared: Prepare = list) -> Batching:
    """What the model computes correctly in batches, with rows that are padded, join and leave.

    `prepared` turns one request's caches, of mlx-lm's kinds, into those that are to be batched.
    """
    tolerance = TOLERANCE if _computes_in_f32(model) else HALF_TOLERANCE
    if _matches(model, alone, _Together(prepared), tolerance):
        return "whole"
    return "decoding" if _matches(model, alone, _Separately(prepared), tolerance) else "none"


def keeps_apart(model: Any, alone: Sequence[Steps]) -> bool:
    """Whether requests that take turns have the logits of each alone: whether all that is theirs is in the caches."""
    rows = [_new_caches(model) for _ in _PROMPTS]
    for prompt, caches in zip(_PROMPTS, rows, strict=True):
        model(mx.array([prompt]), cache=caches)
    tokens = [token for tokens in _NEXT for token in tokens]
    steps = [[_step(model, caches, token, 1)[0] for caches in rows] for token in tokens]
    in_turns = zip(*steps, strict=True)
    return all(distance(one, row) <= TOLERANCE for one, row in zip(alone, in_turns, strict=True))


def _computes_in_f32(model: Any) -> bool:
    return bool(model(mx.array([[1]]), cache=_new_caches(model)).dtype == mx.float32)


def _matches(model: Any, alone: Sequence[Steps], run: _Separately, tolerance: float) -> bool:
    """Whether the batched logits match those of each request alone, whatever the other prompt and its padding are.

    Batches of the same shape are computed alike in any precision: if a row differs between two of them, it has seen
    another row or padding.
    """
    try:
        together = run.decode(model, run.prefill(model, _LONG, 0))
        beside_another = run.decode(model, run.prefill(model, _OTHER_LONG, 1))
    except Exception:  # a model that uses its cache differently fails in its own way
        return False
    as_alone = all(distance(one[: len(other)], other) <= tolerance for one, other in zip(alone, together, strict=True))
    rows = zip(together[1:], beside_another[1:], strict=True)
    return as_alone and all(distance(one, other) <= TOLERANCE for one, other in rows)


def _alone(model: Any, prompt: Sequence[int]) -> Steps:
    caches = _new_caches(model)
    model(mx.array([prompt]), cache=caches)
    return [_step(model, caches, token, 1)[0] for tokens in _NEXT for token in tokens]


class _Separately:
    """Prompts that are prefilled one by one, and decoded together."""

    def __init__(self, prepared: Prepare) -> None:
        self._prepared = prepared

    def merged(self, *rows: list[Any]) -> list[Any]:
        return [layer[0].merge(list(layer)) for layer in zip(*map(self._prepared, rows), strict=True)]

    def prefill(self, model: Any, long: Sequence[int], padding_id: int) -> list[Any]:  # noqa: ARG002 - see _Together
        batches = [self.merged(_new_caches(model)) for _ in range(2)]
        for prompt, batch in zip((long, _SHORT), batches, strict=True):
            model(mx.array([prompt]), cache=batch)
        return _joined(*batches)

    def decode(self, model: Any, batch: list[Any]) -> list[Steps]:
        """The logits of a batch's two rows and of a third, partly cached prompt that joins before the first leaves."""
        caches = _new_caches(model)
        model(mx.array([_CACHED]), cache=caches)
        third = self.merged(caches)
        model(mx.array([_REST]), cache=third)
        batch = _joined(batch, third)
        first, second = _NEXT
        steps = [_step(model, batch, token, 3) for token in first]
        for cache in batch:
            cache.filter([1, 2])
        later = [_step(model, batch, token, 2) for token in second]
        return [
            [step[0] for step in steps],
            *([step[row] for step in steps] + [step[row - 1] for step in later] for row in (1, 2)),
        ]


class _Together(_Separately):
    """Two prompts in one pass, the shorter one padded."""

    def prefill(self, model: Any, long: Sequence[int], padding_id: int) -> list[Any]:
        batch = self.merged(_new_caches(model), _new_caches(model))
        padding = len(long) - len(_SHORT)
        for cache in batch:
            cache.prepare(lengths=[len(long), len(_SHORT)], right_padding=[0, padding])
        model(mx.array([long, (*_SHORT, *[padding_id] * padding)]), cache=batch)
        for cache in batch:
            cache.finalize()
        return batch


def _joined(batch: list[Any], other: list[Any]) -> list[Any]:
    for cache, joining in zip(batch, other, strict=True):
        cache.extend(joining)
    return batch


def _step(model: Any, caches: list[Any], token: int, num_rows: int) -> Steps:
    logits = model(mx.array([[token]] * num_rows), cache=caches)[:, -1].astype(mx.float32)
    mx.eval(logits)
    return [logits[row] for row in range(num_rows)]


def _new_caches(model: Any) -> list[Any]:
    from pensieve.device.mlx_lm import caches as mlx_lm_caches  # noqa: PLC0415 - half a second

    caches: list[Any] = mlx_lm_caches.new_caches(model)
    return caches
