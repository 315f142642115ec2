"""The mutants: servers with one fault each, and the scenario that has to catch it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from tests.mutants.faults import messages as faults
from tests.mutants.faults import openai, prompts, schemas, tools
from tests.mutants.wire import Frames, ProxiedAnswer, ProxiedCall


def _same_call(call: ProxiedCall) -> ProxiedCall:
    return call


def _same_answer(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return answer


def _same_frames(frames: Frames) -> Frames:
    return frames


class BaseServer(Enum):
    """The correct server that a mutant is built on: one on which the fault shows and is judged quickly."""

    SCRIPTED = "plays the suite's script"
    GUARDED = "plays the script and requires a key"
    RATE_LIMITED = "plays the script and allows three requests a minute for each key"
    OVERLOADED = "plays the script and is overloaded once a scenario has run"
    CONSTRAINED = "has a model of random weights and constrains its answers to schemas"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A correct server with one fault. `calls` changes its requests, `answers` and `frames` what it sends."""

    name: str
    caught_by: str
    calls: Callable[[ProxiedCall], ProxiedCall] = _same_call
    answers: Callable[[ProxiedCall, ProxiedAnswer], ProxiedAnswer] = _same_answer
    frames: Callable[[Frames], Frames] = _same_frames
    base: BaseServer = BaseServer.SCRIPTED


NO_FAULT = Mutant("no-fault", caught_by="")

_OF_TEXT = (
    Mutant("event-out-of-order", "stream-events-in-order", frames=faults.delta_before_its_block),
    Mutant("block-without-its-stop", "stream-events-in-order", frames=faults.without_block_stop),
    Mutant("index-repeated", "stream-blocks-are-numbered", frames=faults.second_block_of_one_index),
    Mutant("usage-that-does-not-add-up", "stream-usage-adds-up", frames=faults.one_output_token_more),
    Mutant("prompt-recounted-at-the-end", "stream-usage-never-falls", frames=faults.another_prompt_at_the_end),
    Mutant("no-message-stop", "stream-ends-with-message-stop", frames=faults.without_message_stop),
    Mutant("unknown-event", "stream-known-events", frames=faults.with_an_unknown_event),
    Mutant("start-with-content", "stream-starts-with-an-empty-message", frames=faults.content_in_message_start),
    Mutant("thinking-in-a-text-block", "stream-deltas-fit-their-block", frames=faults.thinking_in_a_text_block),
    Mutant("no-stop-reason", "stream-gives-a-stop-reason", frames=faults.without_stop_reason),
    Mutant("block-that-starts-with-text", "stream-blocks-start-empty", frames=faults.text_in_block_start),
    Mutant("unnamed-events", "stream-event-names", frames=faults.unnamed),
    Mutant("stream-that-drops-text", "stream-equals-reply", frames=faults.without_the_last_delta),
    Mutant("stop-sequence-in-the-text", "stop-sequence-ends-the-answer", answers=faults.stop_sequence_in_the_text),
    Mutant("stop-sequence-in-the-stream", "stop-sequence-ends-the-stream", frames=faults.stop_sequence_in_the_stream),
    Mutant("ignores-stop-sequences", "stop-sequence-ends-the-answer", calls=faults.ignores("stop_sequences")),
    Mutant("ignores-system", "system-as-string", calls=faults.ignores("system")),
    Mutant("strict-about-fields", "unknown-fields-are-ignored", answers=faults.refuses_unknown_fields),
    Mutant("other-model-echoed", "reply-model-is-echoed", answers=faults.another_model),
    Mutant("count-off-by-one", "count-equals-usage", answers=faults.count_off_by_one),
    Mutant("failure-on-wrong-json", "body-that-is-no-json", answers=faults.failure_on_wrong_json),
    Mutant("refusals-without-a-name", "field-that-is-wrong", answers=faults.refusal_without_a_name),
    Mutant("error-without-request-id", "error-has-the-request-id", answers=faults.error_without_request_id),
    Mutant("one-request-id-for-all", "request-id-is-unique", answers=faults.one_request_id),
    Mutant("list-without-has-more", "models-list-shape", answers=faults.list_without_has_more),
    Mutant("model-in-the-wrong-format", "sdk-lists-models", answers=faults.model_released_at_a_number),
    Mutant("outdated-list", "models-listed-are-answered", answers=faults.outdated_list),
    Mutant("counters-that-stand-still", "metrics-count-what-is-done", answers=faults.counters_that_stand_still),
    Mutant("milliseconds-in-metrics", "metrics-are-named-by-the-book", answers=faults.milliseconds_in_metrics),
    Mutant("any-origin-granted", "origin-gets-no-grant", answers=faults.any_origin),
    Mutant("retry-a-wrong-key", "key-refused-without-retry", answers=faults.retry_a_wrong_key, base=BaseServer.GUARDED),
    Mutant("echo-of-the-key", "key-refused-is-not-echoed", answers=faults.echo_of_the_key, base=BaseServer.GUARDED),
)

_OF_TOOLS = (
    Mutant(
        "input-outside-the-schema",
        "forced-call-keeps-to-its-schema",
        answers=tools.input_outside_the_schema,
        base=BaseServer.CONSTRAINED,
    ),
    Mutant("call-that-ends-the-turn", "call-that-is-written-is-a-call", answers=tools.call_that_ends_the_turn),
    Mutant("tool-use-without-a-call", "call-of-no-tool-is-text", answers=tools.tool_use_without_a_call),
    Mutant(
        "forced-call-that-ends-the-turn",
        "stop-reason-tells-of-calls",
        answers=tools.call_that_ends_the_turn,
        base=BaseServer.CONSTRAINED,
    ),
    Mutant("one-call-id-for-all", "call-ids-are-unique", answers=tools.one_call_id, base=BaseServer.CONSTRAINED),
    Mutant("a-second-call", "one-call-at-most", answers=tools.a_second_call, base=BaseServer.CONSTRAINED),
    Mutant(
        "ignores-tool-choice", "named-tool-is-called", calls=faults.ignores("tool_choice"), base=BaseServer.CONSTRAINED
    ),
    Mutant(
        "input-in-block-start",
        "call-starts-without-input",
        frames=tools.input_in_block_start,
        base=BaseServer.CONSTRAINED,
    ),
    Mutant(
        "another-input-streamed",
        "call-deltas-join-to-the-input",
        frames=tools.another_input_in_the_stream,
        base=BaseServer.CONSTRAINED,
    ),
    Mutant("input-at-once", "call-input-comes-in-pieces", frames=tools.input_at_once, base=BaseServer.CONSTRAINED),
    Mutant("count-without-tools", "count-includes-tools", calls=tools.count_without_tools),
)

_OF_SCHEMAS = (
    Mutant(
        "one-odd-schema-fails-all",
        "odd-schema-beside-another",
        answers=schemas.refuses_what_it_cannot_enforce,
        base=BaseServer.CONSTRAINED,
    ),
    Mutant(
        "odd-schema-of-another-fails",
        "odd-schema-of-another-tool",
        answers=schemas.refuses_beside_the_forced_tool,
        base=BaseServer.CONSTRAINED,
    ),
    Mutant(
        "one-odd-keyword-frees-all",
        "odd-schema-is-enforced-but-for-one",
        calls=schemas.relaxes_the_whole_schema,
        base=BaseServer.CONSTRAINED,
    ),
    Mutant(
        "ignores-strict", "strict-tool-is-whole-or-refused", calls=schemas.ignores_strict, base=BaseServer.CONSTRAINED
    ),
    Mutant(
        "impossible-schema-is-a-500",
        "impossible-schema-is-answered",
        answers=schemas.fails_on_the_impossible,
        base=BaseServer.CONSTRAINED,
    ),
    Mutant(
        "one-odd-keyword-frees-the-format",
        "structured-output-with-a-look-ahead",
        calls=schemas.relaxes_the_whole_format,
        base=BaseServer.CONSTRAINED,
    ),
)

_OF_ANSWERS = (
    Mutant("unsigned-thinking", "thinking-comes-before-text", answers=tools.unsigned_thinking),
    Mutant("no-signature-in-the-stream", "thinking-is-signed-at-its-end", frames=tools.without_signature_deltas),
    Mutant("unrequested-thinking", "no-thinking-when-disabled", answers=tools.unrequested_thinking),
    Mutant("thinking-not-counted", "thinking-is-counted", answers=tools.thinking_not_counted),
    Mutant("fenced-json", "answer-keeps-to-the-schema", answers=tools.fenced_json, base=BaseServer.CONSTRAINED),
    Mutant(
        "ignores-formats",
        "answer-keeps-to-the-schema",
        calls=faults.ignores("output_config"),
        base=BaseServer.CONSTRAINED,
    ),
    Mutant("dropped-images", "image-is-seen-or-refused", calls=tools.dropped_images),
    Mutant("dropped-documents", "document-is-counted", calls=tools.dropped_documents),
)

_OF_LIMITS = (
    Mutant(
        "overload-without-retry-after",
        "queue-that-is-full",
        answers=openai.without_retry_after,
        base=BaseServer.OVERLOADED,
    ),
    Mutant(
        "overload-for-two-minutes", "queue-that-is-full", answers=openai.retry_after("120"), base=BaseServer.OVERLOADED
    ),
    Mutant(
        "limit-without-retry-after",
        "rate-limit-is-kept",
        answers=openai.without_retry_after,
        base=BaseServer.RATE_LIMITED,
    ),
    Mutant(
        "limit-for-two-minutes", "rate-limit-is-kept", answers=openai.retry_after("120"), base=BaseServer.RATE_LIMITED
    ),
)

_OF_OPENAI = (
    Mutant("chunks-without-an-end", "openai-stream-shape", frames=openai.without_finish_reason),
    Mutant("new-id-per-chunk", "openai-stream-shape", frames=openai.new_id_per_chunk),
    Mutant("never-done", "openai-stream-ends-with-done", frames=openai.without_done),
    Mutant("chunks-that-drop-text", "openai-stream-equals-reply", frames=openai.without_the_last_word),
    Mutant("wrong-total", "openai-chat-usage", answers=openai.wrong_total),
    Mutant("anthropics-envelope", "openai-chat-that-is-wrong", answers=openai.anthropics_envelope),
    Mutant("models-without-an-owner", "openai-models-are-listed", answers=openai.models_without_an_owner),
)

_OF_PROMPTS = (
    Mutant(
        "cache-not-reported", "cache-is-read-again", answers=prompts.cache_not_reported, base=BaseServer.CONSTRAINED
    ),
    Mutant(
        "everything-reported-as-read",
        "cache-is-not-read-by-others",
        answers=prompts.everything_reported_as_read,
        base=BaseServer.CONSTRAINED,
    ),
    Mutant(
        "wrong-times-to-live",
        "cache-usage-adds-up",
        answers=prompts.wrong_times_to_live,
        base=BaseServer.CONSTRAINED,
    ),
    Mutant("billing-in-the-prompt", "billing-line-is-no-prompt", calls=prompts.billing_line_as_prompt),
    Mutant("breakpoints-in-the-prompt", "form-of-a-message-is-no-prompt", calls=prompts.breakpoints_as_text),
)

MUTANTS = _OF_TEXT + _OF_TOOLS + _OF_SCHEMAS + _OF_ANSWERS + _OF_LIMITS + _OF_OPENAI + _OF_PROMPTS
