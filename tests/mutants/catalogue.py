"""Servers that are wrong in one way each, and the scenario that has to say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.mutants import faults
from tests.mutants.wire import Answer, Call, Frames


def _same_call(call: Call) -> Call:
    return call


def _same_answer(call: Call, answer: Answer) -> Answer:
    return answer


def _same_frames(frames: Frames) -> Frames:
    return frames


@dataclass(frozen=True, slots=True)
class Mutant:
    """An otherwise right server. `calls` alters what it hears, `answers` and `frames` what it says.

    `is_guarded` is set where the fault shows only on a server that demands a key.
    """

    name: str
    caught_by: str
    calls: Callable[[Call], Call] = _same_call
    answers: Callable[[Call, Answer], Answer] = _same_answer
    frames: Callable[[Frames], Frames] = _same_frames
    is_guarded: bool = False


RIGHT = Mutant("right", caught_by="")

MUTANTS = (
    Mutant("event-out-of-order", "stream-events-in-order", frames=faults.delta_before_its_block),
    Mutant("block-without-its-stop", "stream-events-in-order", frames=faults.without_block_stop),
    Mutant("index-repeated", "stream-blocks-are-numbered", frames=faults.second_block_of_one_index),
    Mutant("usage-that-does-not-add-up", "stream-usage-adds-up", frames=faults.one_output_token_more),
    Mutant("prompt-counted-anew-at-the-end", "stream-usage-never-falls", frames=faults.another_prompt_at_the_end),
    Mutant("no-message-stop", "stream-ends-with-message-stop", frames=faults.without_message_stop),
    Mutant("unknown-event", "stream-known-events", frames=faults.with_an_unknown_event),
    Mutant("start-with-content", "stream-starts-with-an-empty-message", frames=faults.content_in_message_start),
    Mutant("thinking-in-a-text-block", "stream-deltas-fit-their-block", frames=faults.thinking_in_a_text_block),
    Mutant("no-stop-reason", "stream-gives-a-stop-reason", frames=faults.without_stop_reason),
    Mutant("block-that-starts-with-text", "stream-blocks-start-empty", frames=faults.text_in_block_start),
    Mutant("unnamed-events", "stream-event-names", frames=faults.unnamed),
    Mutant("stream-that-says-less", "stream-equals-reply", frames=faults.without_the_last_delta),
    Mutant("stop-sequence-in-the-text", "stop-sequence-ends-the-answer", answers=faults.stop_sequence_in_the_text),
    Mutant("stop-sequence-in-the-stream", "stop-sequence-ends-the-stream", frames=faults.stop_sequence_in_the_stream),
    Mutant("deaf-to-stop-sequences", "stop-sequence-ends-the-answer", calls=faults.deaf_to("stop_sequences")),
    Mutant("deaf-to-system", "system-as-string", calls=faults.deaf_to("system")),
    Mutant("strict-about-fields", "unknown-fields-are-ignored", answers=faults.refuses_unknown_fields),
    Mutant("other-model-echoed", "reply-model-is-echoed", answers=faults.another_model),
    Mutant("count-off-by-one", "count-equals-usage", answers=faults.count_off_by_one),
    Mutant("failure-on-wrong-json", "body-that-is-no-json", answers=faults.failure_on_wrong_json),
    Mutant("nameless-refusals", "field-that-is-wrong", answers=faults.refusal_without_a_name),
    Mutant("error-without-request-id", "error-has-the-request-id", answers=faults.error_without_request_id),
    Mutant("one-request-id-for-all", "request-id-is-unique", answers=faults.one_request_id),
    Mutant("list-without-has-more", "models-list-shape", answers=faults.list_without_has_more),
    Mutant("model-of-the-wrong-form", "sdk-lists-models", answers=faults.model_released_at_a_number),
    Mutant("any-origin-granted", "origin-gets-no-grant", answers=faults.any_origin),
    Mutant("retry-a-wrong-key", "key-refused-without-retry", answers=faults.retry_a_wrong_key, is_guarded=True),
    Mutant("echo-of-the-key", "key-refused-is-not-echoed", answers=faults.echo_of_the_key, is_guarded=True),
)
