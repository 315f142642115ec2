"""One decode step of mlx-lm's GenerationBatch, without log probabilities, and with rows that join in mid-step.

mlx-lm normalises every row's logits so that each token comes with log probabilities: one exponential for each entry of
the vocabulary. The API returns no log probabilities, and most samplers need none: the argmax is the same, and softmax
ignores a constant. So samplers get raw logits here, and those that need probabilities normalise them.

A row may join with its prompt's last token as the next one (`pensieve.engine.batch.joining`); that one is not emitted.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

import weakref
from typing import Any

import mlx.core as mx


def decode_from_logits(batch: Any) -> None:
    """Make mlx-lm's GenerationBatch decode with `decode`, whose samplers get logits [rows, vocabulary]."""
    own = weakref.proxy(batch)  # a batch that refers to itself would keep the model's weights alive
    batch.has_new_rows, batch.emitted_early, batch.copies = False, set(), 1
    batch.next = lambda: first_tokens(own) or decode(own)


def first_tokens(batch: Any) -> list[Any]:
    """The first tokens of answers that have just begun, when no other row is decoding, before the next pass starts.

    A step starts the next pass before it emits. Where MLX blocks for most of a pass, as on a CPU, the first token would
    wait for the second token's pass. Rows that end with their first token are left to `decode`.
    """
    if not batch.has_new_rows:
        return []
    batch.has_new_rows = False
    batch.emitted_early.clear()
    responses = []
    for index, (uid, token_id) in enumerate(zip(batch.uids, batch._next_tokens.tolist(), strict=True)):
        if batch.max_tokens[index] > 1 and not batch.stop_sequences[index].matcher().advance(token_id):
            batch.emitted_early.add(uid)
            responses.append(batch.Response(uid, token_id, None, None, None, None))
    return responses


def all_end(batch: Any) -> bool:
    """Whether every row reaches its max_tokens with its next token, so that no further pass is needed."""
    return all(num + 1 >= max_tokens for num, max_tokens in zip(batch._num_tokens, batch.max_tokens, strict=True))


def decode(batch: Any) -> list[Any]:
    """Run one step for all rows and return mlx-lm's responses. Rows that finish leave the batch."""
    responses = []
    is_last = all_end(batch)
    for index, token_id in enumerate(batch._next_tokens.tolist() if is_last else _step(batch)):
        response = emit(batch, index, token_id)
        if response is not None:
            responses.append(response)
            if response.finish_reason is not None:
                attach_caches(batch, index, response, has_last=not is_last)
    drop_finished(batch, responses)
    return responses


def emit(batch: Any, index: int, token_id: int) -> Any | None:
    """The response for a token that has just entered the KV cache.

    None for the prompt's last token and for tokens already emitted.
    """
    batch.tokens[index].append(token_id)
    batch._num_tokens[index] += 1
    if not batch._num_tokens[index]:
        return None
    reason = "length" if batch._num_tokens[index] >= batch.max_tokens[index] else None
    if batch._matchers[index].advance(token_id):
        reason = "stop"
    if batch.uids[index] in batch.emitted_early:
        batch.emitted_early.remove(batch.uids[index])
        return None
    return batch.Response(batch.uids[index], token_id, None, reason, None, None)


def attach_caches(batch: Any, index: int, response: Any, *, has_last: bool = True) -> None:
    """Add a finished row's caches and token ids to its last response.

    `has_last`: the row's last token went through a pass and is in the KV cache.
    """
    token_ids = batch.tokens[index]
    response.prompt_cache = batch.extract_cache(index)
    response.all_tokens = token_ids if has_last else token_ids[:-1]


def drop_finished(batch: Any, responses: list[Any]) -> None:
    finished = {response.uid for response in responses if response.finish_reason is not None}
    if finished:
        batch.filter([index for index, uid in enumerate(batch.uids) if uid not in finished])


def samplers_of(batch: Any) -> list[Any]:
    return [sampler or batch.fallback_sampler for sampler in batch.samplers or [None] * len(batch.uids)]


def forward(batch: Any, token_ids: mx.array, lengths: list[int]) -> mx.array:
    """Logits [rows, tokens, vocabulary] for `token_ids` [rows, tokens], right-padded to more than their `lengths`."""
    padding = [token_ids.shape[1] - length for length in lengths]
    padded = batch.prompt_cache if any(padding) else ()
    for cache in padded:
        cache.prepare(lengths=lengths, right_padding=padding)
    logits: mx.array = batch.model(token_ids, cache=batch.prompt_cache)
    for cache in padded:
        cache.finalize()
    return logits


def process_logits(batch: Any, index: int, token_id: mx.array, logits: mx.array) -> mx.array:
    """Apply one row's logits processors to logits [1, vocabulary]. `token_id` [1] is the row's last token."""
    processors = batch.logits_processors[index] or ()
    if processors:
        context = batch._token_context[index].update_and_fetch(token_id)
        for processor in processors:
            logits = processor(context, logits)
    return logits


def contexts_of(batch: Any) -> list[mx.array]:
    """The token arrays that processors see. Evaluate them with each step: nothing else does, and they grow."""
    return [context.state for context in batch._token_context]


def _step(batch: Any) -> list[int]:
    """Start computing the token after each row's next one, and return the next ones."""
    inputs = batch._current_tokens = batch._next_tokens
    num_rows = len(batch.uids)
    fed = mx.broadcast_to(inputs[:, None], (num_rows, batch.copies))
    logits = forward(batch, fed, [1] * num_rows)[:, 0, :]
    if any(batch.logits_processors):
        rows = range(num_rows)
        logits = mx.concatenate(
            [process_logits(batch, row, inputs[row : row + 1], logits[row : row + 1]) for row in rows]
        )
    samplers = samplers_of(batch)
    if all(sampler is samplers[0] for sampler in samplers):
        sampled = samplers[0](logits)
    else:
        sampled = mx.concatenate([sampler(logits[row : row + 1]) for row, sampler in enumerate(samplers)])
    batch._next_tokens, batch._next_logprobs = sampled, [None] * len(samplers)
    mx.async_eval(sampled, contexts_of(batch))  # type: ignore[no-untyped-call]
    token_ids: list[int] = inputs.tolist()
    return token_ids
