"""Whether a model computes the same for requests that are decoded together as for each alone, found out by running it.

Models of mlx-lm need not have been written with batches in mind: some fail with more than one row, and some compute
something else without failing (a mask that is broadcast along another axis). A config does not tell.

All on the thread that owns MLX.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import mlx.core as mx

Batching = Literal["whole", "decoding", "none"]
"""What may be done for several requests in one pass: reading prompts and decoding; decoding alone, since the padding of
a shorter prompt would get into its answer; nothing."""

TOLERANCE: Final = 0.03
"""Of the largest logit."""
HALF_TOLERANCE: Final = 0.5
"""The same for half precision, against one request alone: other kernels compute a batch, in another order, and in a
deep model in bfloat16 that came to 0.29 (random weights, on a GPU). What this lets through, comparing batches finds.
"""
WARNINGS: Final[Mapping[Batching, str]] = {
    "whole": "",
    "decoding": (
        "%s reads prompts one at a time: mlx-lm's model lets the padding of a shorter one into its answer; answers are "
        "decoded together"
    ),
    "none": (
        "%s answers one request at a time, and others wait their turn: several together would not get the answers that "
        "each gets alone, with mlx-lm's model"
    ),
}
"""What the log says of a model."""

_LONG, _SHORT = (1, 2, 3, 4, 5), (6, 7, 8)
_OTHER_LONG: Final = (11, 9, 10, 8, 7)
"""In the place of the first prompt it must change nothing for the others."""
_KNOWN, _REST = (3, 1), (4, 1, 5, 9)
"""A prompt of which the beginning is computed before it comes into a batch, as one that is found in the cache."""
_NEXT: Final = ((9, 2), (5, 6))
"""What follows each prompt: two tokens with all three rows, and two after the first has left."""

Steps = list[mx.array]
"""A row's logits, step by step."""


def distance(one: Sequence[mx.array], other: Sequence[mx.array]) -> float:
    """How far two rows' logits are apart at the step where they are closest, as a share of the largest.

    Where they are not what they should be, they are so at every step. At a single one, half precision may have sent the
    token to another expert, and nothing is wrong.
    """
    shares = [
        float(mx.max(mx.abs(here - there)) / mx.max(mx.abs(here))) for here, there in zip(one, other, strict=True)
    ]
    return min(share if math.isfinite(share) else math.inf for share in shares)


def batching_of(model: Any) -> Batching:
    """What the model does in mlx-lm's batch caches, padded, joined and left, as it does it for each request alone."""
    alone = [_alone(model, prompt) for prompt in (_LONG, _SHORT, (*_KNOWN, *_REST))]
    tolerance = TOLERANCE if _computes_in_f32(model) else HALF_TOLERANCE
    if _says_the_same(model, alone, _read_together, tolerance):
        return "whole"
    return "decoding" if _says_the_same(model, alone, _read_apart, tolerance) else "none"


def _computes_in_f32(model: Any) -> bool:
    return bool(model(mx.array([[1]]), cache=_new_caches(model)).dtype == mx.float32)


def _says_the_same(
    model: Any, alone: Sequence[Steps], read: Callable[[Any, Sequence[int], int], list[Any]], tolerance: float
) -> bool:
    """As alone, and whatever the other prompt and its padding are: two batches of one shape are computed alike, in any
    precision, so that a row which differs between them has seen what is not its own.
    """
    try:
        together = _decoded(model, read(model, _LONG, 0))
        beside_another = _decoded(model, read(model, _OTHER_LONG, 1))
    except Exception:  # a model that does something else with its cache fails in ways of its own
        return False
    as_alone = all(distance(one[: len(other)], other) <= tolerance for one, other in zip(alone, together, strict=True))
    rows = zip(together[1:], beside_another[1:], strict=True)
    return as_alone and all(distance(one, other) <= TOLERANCE for one, other in rows)


def _alone(model: Any, prompt: Sequence[int]) -> Steps:
    caches = _new_caches(model)
    model(mx.array([prompt]), cache=caches)
    return [_step(model, caches, token, 1)[0] for tokens in _NEXT for token in tokens]


def _read_together(model: Any, long: Sequence[int], padding_id: int) -> list[Any]:
    """Two prompts in one pass, the shorter one padded."""
    batch = _merged([_new_caches(model), _new_caches(model)])
    padding = len(long) - len(_SHORT)
    for cache in batch:
        cache.prepare(lengths=[len(long), len(_SHORT)], right_padding=[0, padding])
    model(mx.array([long, (*_SHORT, *[padding_id] * padding)]), cache=batch)
    for cache in batch:
        cache.finalize()
    return batch


def _read_apart(model: Any, long: Sequence[int], _padding_id: int) -> list[Any]:
    batches = [_merged([_new_caches(model)]) for _ in range(2)]
    for prompt, batch in zip((long, _SHORT), batches, strict=True):
        model(mx.array([prompt]), cache=batch)
    return _joined(*batches)


def _decoded(model: Any, batch: list[Any]) -> list[Steps]:
    """The two rows of a batch, joined by a third whose prompt was known in part; then the first one leaves."""
    caches = _new_caches(model)
    model(mx.array([_KNOWN]), cache=caches)
    third = _merged([caches])
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


def _joined(batch: list[Any], other: list[Any]) -> list[Any]:
    for cache, joining in zip(batch, other, strict=True):
        cache.extend(joining)
    return batch


def _step(model: Any, caches: list[Any], token: int, num_rows: int) -> Steps:
    logits = model(mx.array([[token]] * num_rows), cache=caches)[:, -1].astype(mx.float32)
    mx.eval(logits)
    return [logits[row] for row in range(num_rows)]


def _merged(rows: Sequence[list[Any]]) -> list[Any]:
    return [layer[0].merge(list(layer)) for layer in zip(*rows, strict=True)]


def _new_caches(model: Any) -> list[Any]:
    from mlx_lm.models.cache import make_prompt_cache  # noqa: PLC0415 - transformers takes seconds to import

    caches: list[Any] = make_prompt_cache(model)
    return caches
