"""Servers that are wrong in one way each, and the scenario that has to say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from tests.mutants import faults
from tests.mutants import faults_of_openai as openai
from tests.mutants import faults_of_prompts as prompts
from tests.mutants import faults_of_tools as tools
from tests.mutants.wire import Answer, Call, Frames


def _same_call(call: Call) -> Call:
    return call


def _same_answer(call: Call, answer: Answer) -> Answer:
    return answer


def _same_frames(frames: Frames) -> Frames:
    return frames


class Right(Enum):
    """The right server that a mutant is made of: where its fault shows, and is judged soonest."""

    SCRIPTED = "plays the suite's script"
    GUARDED = "plays it, and demands a key"
    LIMITED = "plays it, and takes three requests a minute from each key"
    CROWDED = "plays it, and has too much to do when a scenario has left it"
    HELD = "has a model of random weights, and holds what it says to schemas"


@dataclass(frozen=True, slots=True)
class Mutant:
    """An otherwise right server. `calls` alters what it hears, `answers` and `frames` what it says."""

    name: str
    caught_by: str
    calls: Callable[[Call], Call] = _same_call
    answers: Callable[[Call, Answer], Answer] = _same_answer
    frames: Callable[[Frames], Frames] = _same_frames
    right: Right = Right.SCRIPTED


RIGHT = Mutant("right", caught_by="")

_OF_TEXT = (
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
    Mutant("list-of-yesterday", "models-listed-are-answered", answers=faults.list_of_what_is_not_there),
    Mutant("counters-that-stand-still", "metrics-count-what-is-done", answers=faults.counters_that_stand_still),
    Mutant("milliseconds-in-metrics", "metrics-are-named-by-the-book", answers=faults.milliseconds_in_metrics),
    Mutant("any-origin-granted", "origin-gets-no-grant", answers=faults.any_origin),
    Mutant("retry-a-wrong-key", "key-refused-without-retry", answers=faults.retry_a_wrong_key, right=Right.GUARDED),
    Mutant("echo-of-the-key", "key-refused-is-not-echoed", answers=faults.echo_of_the_key, right=Right.GUARDED),
)

_OF_TOOLS = (
    Mutant("input-of-its-own", "forced-call-keeps-to-its-schema", answers=tools.input_of_its_own, right=Right.HELD),
    Mutant("call-that-ends-the-turn", "call-that-is-written-is-a-call", answers=tools.call_that_ends_the_turn),
    Mutant("tool-use-without-a-call", "call-of-no-tool-is-text", answers=tools.tool_use_without_a_call),
    Mutant(
        "forced-call-that-ends-the-turn",
        "stop-reason-tells-of-calls",
        answers=tools.call_that_ends_the_turn,
        right=Right.HELD,
    ),
    Mutant("one-call-id-for-all", "call-ids-are-unique", answers=tools.one_call_id, right=Right.HELD),
    Mutant("a-second-call", "one-call-at-most", answers=tools.a_second_call, right=Right.HELD),
    Mutant("deaf-to-tool-choice", "named-tool-is-called", calls=faults.deaf_to("tool_choice"), right=Right.HELD),
    Mutant("input-in-block-start", "call-starts-without-input", frames=tools.input_in_block_start, right=Right.HELD),
    Mutant(
        "another-input-streamed",
        "call-deltas-join-to-the-input",
        frames=tools.another_input_in_the_stream,
        right=Right.HELD,
    ),
    Mutant("input-at-once", "call-input-comes-in-pieces", frames=tools.input_at_once, right=Right.HELD),
    Mutant("count-blind-to-tools", "count-includes-tools", calls=tools.count_blind_to_tools),
)

_OF_ANSWERS = (
    Mutant("unsigned-thinking", "thinking-comes-before-text", answers=tools.unsigned_thinking),
    Mutant("no-signature-in-the-stream", "thinking-is-signed-at-its-end", frames=tools.without_signature_deltas),
    Mutant("thinking-unasked-for", "no-thinking-when-disabled", answers=tools.thinking_that_nobody_asked_for),
    Mutant("thinking-for-nothing", "thinking-is-counted", answers=tools.thinking_for_nothing),
    Mutant("fenced-json", "answer-keeps-to-the-schema", answers=tools.fenced_json, right=Right.HELD),
    Mutant("deaf-to-formats", "answer-keeps-to-the-schema", calls=faults.deaf_to("output_config"), right=Right.HELD),
    Mutant("images-passed-over", "image-is-seen-or-refused", calls=tools.images_passed_over),
    Mutant("documents-passed-over", "document-is-counted", calls=tools.documents_passed_over),
)

_OF_LIMITS = (
    Mutant("overload-without-a-date", "queue-that-is-full", answers=openai.without_retry_after, right=Right.CROWDED),
    Mutant("overload-for-two-minutes", "queue-that-is-full", answers=openai.retry_after("120"), right=Right.CROWDED),
    Mutant("limit-without-a-date", "rate-limit-is-kept", answers=openai.without_retry_after, right=Right.LIMITED),
    Mutant("limit-for-two-minutes", "rate-limit-is-kept", answers=openai.retry_after("120"), right=Right.LIMITED),
)

_OF_OPENAI = (
    Mutant("chunks-without-an-end", "openai-stream-shape", frames=openai.without_finish_reason),
    Mutant("another-id-a-chunk", "openai-stream-shape", frames=openai.another_id_a_chunk),
    Mutant("never-done", "openai-stream-ends-with-done", frames=openai.without_done),
    Mutant("chunks-that-say-less", "openai-stream-equals-reply", frames=openai.without_the_last_word),
    Mutant("total-of-its-own-mind", "openai-chat-usage", answers=openai.usage_of_its_own_mind),
    Mutant("anthropics-envelope", "openai-chat-that-is-wrong", answers=openai.anthropics_envelope),
    Mutant("models-without-an-owner", "openai-models-are-listed", answers=openai.models_without_an_owner),
)

_OF_PROMPTS = (
    Mutant(
        "silent-about-the-cache", "cache-is-read-again", answers=prompts.nothing_is_told_of_the_cache, right=Right.HELD
    ),
    Mutant("all-of-it-read", "cache-is-not-read-by-others", answers=prompts.all_is_called_read, right=Right.HELD),
    Mutant(
        "times-to-live-of-its-own-mind",
        "cache-usage-adds-up",
        answers=prompts.times_to_live_that_do_not_add_up,
        right=Right.HELD,
    ),
    Mutant("billing-in-the-prompt", "billing-line-is-no-prompt", calls=prompts.billing_line_as_prompt),
    Mutant("breakpoints-in-the-prompt", "form-of-a-message-is-no-prompt", calls=prompts.breakpoints_as_text),
)

MUTANTS = _OF_TEXT + _OF_TOOLS + _OF_ANSWERS + _OF_LIMITS + _OF_OPENAI + _OF_PROMPTS
