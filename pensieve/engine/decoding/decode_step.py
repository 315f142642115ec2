"""One decode step of mlx-lm's GenerationBatch, without what nobody reads, and with rows that only now join it.

mlx-lm normalises the logits of every row, to hand log probabilities out with each token: an exponential for each word
of the vocabulary. The API has no log probabilities, and most samplers need none: the likeliest token is the likeliest,
and a softmax takes no notice of a constant. So here samplers are given logits, and those that need more normalise them.

A row may arrive with the last token of its prompt as its next one (`pensieve.engine.batch.joining`): it is not emitted.

All on the thread that owns MLX.
"""

from __future__ import annotations

import weakref
from typing import Any

import mlx.core as mx


def decode_from_logits(batch: Any) -> None:
    """Have a GenerationBatch of mlx-lm's decode by `decoded`. Its samplers then get logits [rows, vocabulary]."""
    own = weakref.proxy(batch)  # a batch that held on to itself would hold the model's weights
    batch.begins, batch.told_early, batch.copies = False, set(), 1
    batch.next = lambda: first_tokens(own) or decoded(own)


def first_tokens(batch: Any) -> list[Any]:
    """Where answers have just begun and nobody else is being answered: their first tokens, before another pass begins.

    A step is one pass ahead of what it gives out, and where MLX waits for most of a pass before it goes on, as on a
    CPU, it would wait for the second one's pass. A row that ends with its first token is left to `decoded`.
    """
    if not batch.begins:
        return []
    batch.begins = False
    batch.told_early.clear()
    responses = []
    for index, (uid, token_id) in enumerate(zip(batch.uids, batch._next_tokens.tolist(), strict=True)):
        if batch.max_tokens[index] > 1 and not batch.stop_sequences[index].matcher().advance(token_id):
            batch.told_early.add(uid)
            responses.append(batch.Response(uid, token_id, None, None, None, None))
    return responses


def all_end(batch: Any) -> bool:
    """Whether the next tokens of all rows are the last ones that they may have, so that no pass has to follow."""
    return all(told + 1 >= most for told, most in zip(batch._num_tokens, batch.max_tokens, strict=True))


def decoded(batch: Any) -> list[Any]:
    """One step for all rows: mlx-lm's responses, without log probabilities. Those that have ended leave the batch."""
    responses = []
    is_last = all_end(batch)
    for index, token_id in enumerate(batch._next_tokens.tolist() if is_last else _step(batch)):
        response = told(batch, index, token_id)
        if response is not None:
            responses.append(response)
            if response.finish_reason is not None:
                hand_over(batch, index, response, has_last=not is_last)
    leave(batch, responses)
    return responses


def told(batch: Any, index: int, token_id: int) -> Any | None:
    """What is said of a row's token that is in its KV now: nothing of a prompt's last one, or of one told before."""
    batch.tokens[index].append(token_id)
    batch._num_tokens[index] += 1
    if not batch._num_tokens[index]:
        return None
    reason = "length" if batch._num_tokens[index] >= batch.max_tokens[index] else None
    if batch._matchers[index].advance(token_id):
        reason = "stop"
    if batch.uids[index] in batch.told_early:
        batch.told_early.remove(batch.uids[index])
        return None
    return batch.Response(batch.uids[index], token_id, None, reason, None, None)


def hand_over(batch: Any, index: int, response: Any, *, has_last: bool = True) -> None:
    """Give what was computed of a row out with its last response. `has_last` says whether its last token was in a
    pass, and is in the KV.
    """
    token_ids = batch.tokens[index]
    response.prompt_cache = batch.extract_cache(index)
    response.all_tokens = token_ids if has_last else token_ids[:-1]


def leave(batch: Any, responses: list[Any]) -> None:
    """Take those that ended out of the batch."""
    gone = {response.uid for response in responses if response.finish_reason is not None}
    if gone:
        batch.filter([index for index, uid in enumerate(batch.uids) if uid not in gone])


def samplers_of(batch: Any) -> list[Any]:
    """The sampler of each row."""
    return [sampler or batch.fallback_sampler for sampler in batch.samplers or [None] * len(batch.uids)]


def forward(batch: Any, token_ids: mx.array, lengths: list[int]) -> mx.array:
    """Logits [rows, tokens, vocabulary] after `token_ids` [rows, tokens], of which so many of each row count."""
    padding = [token_ids.shape[1] - length for length in lengths]
    padded = batch.prompt_cache if any(padding) else ()
    for cache in padded:
        cache.prepare(lengths=lengths, right_padding=padding)
    logits: mx.array = batch.model(token_ids, cache=batch.prompt_cache)
    for cache in padded:
        cache.finalize()
    return logits


def processed(batch: Any, index: int, token_id: mx.array, logits: mx.array) -> mx.array:
    """Logits [1, vocabulary] as a row's processors leave them, which have seen its last token, `token_id` [1]."""
    processors = batch.logits_processors[index] or ()
    if processors:
        context = batch._token_context[index].update_and_fetch(token_id)
        for processor in processors:
            logits = processor(context, logits)
    return logits


def contexts_of(batch: Any) -> list[mx.array]:
    """The tokens that processors look at, to be computed with a step: nobody else asks for them, and they grow."""
    return [context.state for context in batch._token_context]


def _step(batch: Any) -> list[int]:
    """Begin to compute the token after the next one of each row, and give the next one."""
    inputs = batch._current_tokens = batch._next_tokens
    num_rows = len(batch.uids)
    fed = mx.broadcast_to(inputs[:, None], (num_rows, batch.copies))
    logits = forward(batch, fed, [1] * num_rows)[:, 0, :]
    if any(batch.logits_processors):
        rows = range(num_rows)
        logits = mx.concatenate([processed(batch, row, inputs[row : row + 1], logits[row : row + 1]) for row in rows])
    samplers = samplers_of(batch)
    if all(sampler is samplers[0] for sampler in samplers):
        sampled = samplers[0](logits)
    else:
        sampled = mx.concatenate([sampler(logits[row : row + 1]) for row, sampler in enumerate(samplers)])
    batch._next_tokens, batch._next_logprobs = sampled, [None] * len(samplers)
    mx.async_eval(sampled, contexts_of(batch))  # type: ignore[no-untyped-call]
    token_ids: list[int] = inputs.tolist()
    return token_ids
