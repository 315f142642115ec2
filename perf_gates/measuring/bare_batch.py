"""Runs mlx-lm's BatchGenerator in this process: the speed of a server without overhead."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pensieve.models.loading.load import LoadedModel

MLX_LM_STEP_TOKENS = 2048
"""mlx-lm's default prefill chunk."""


def tokens_per_second(model: LoadedModel, prompts: list[str], max_tokens: int) -> float:
    """The speed of all prompts together, from their insertion to the last token."""
    began = time.perf_counter()
    num_tokens = sum(1 for _ in _tokens(_generator(model, MLX_LM_STEP_TOKENS), _token_ids(model, prompts), max_tokens))
    return num_tokens / (time.perf_counter() - began)


def newcomer_first_token_seconds(model: LoadedModel, running: str, newcomer: str, *, baseline_tokens: int) -> float:
    """Time to first token of a prompt prefilled in mlx-lm's large steps while another request is decoding."""
    generator = _generator(model, MLX_LM_STEP_TOKENS)
    tokens = _tokens(generator, _token_ids(model, [running]), 1000)
    for _ in range(baseline_tokens):
        next(tokens)
    began = time.perf_counter()
    (uid,) = generator.insert(_token_ids(model, [newcomer]), max_tokens=[2])
    while next(tokens) != uid:
        pass
    seconds = time.perf_counter() - began
    generator.close()
    return seconds


def _generator(model: LoadedModel, step_tokens: int) -> Any:
    import mlx.core as mx  # noqa: PLC0415 - the BLAS comes first
    from mlx_lm.generate import BatchGenerator  # noqa: PLC0415 - after `import_mlx_lm`

    return BatchGenerator(
        model.model,
        stop_tokens=[[token_id] for token_id in sorted(model.eos_token_ids)],
        completion_batch_size=32,
        prefill_batch_size=8,
        prefill_step_size=step_tokens,
        stream=mx.default_stream(mx.default_device()),
    )


def _tokens(generator: Any, prompts: list[list[int]], max_tokens: int) -> Iterator[int]:
    """Yield the uid of each generated token's prompt until all prompts have finished."""
    unfinished = set(generator.insert(prompts, max_tokens=[max_tokens] * len(prompts)))
    while unfinished:
        _, responses = generator.next()
        for response in responses:
            if response.finish_reason is not None:
                unfinished.discard(response.uid)
            yield response.uid


def _token_ids(model: LoadedModel, prompts: list[str]) -> list[list[int]]:
    return [
        model.tokenizer.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True)
        for prompt in prompts
    ]
