"""The mutants: servers with one fault each, and the scenario that has to catch it."""

from __future__ import annotations

from tests.mutants.faults import anthropic_tools, openai, prompts, tools, window
from tests.mutants.faults import messages as faults
from tests.mutants.mutant import BaseServer, Mutant
from tests.mutants.of_blocks import OF_BLOCKS
from tests.mutants.of_kinds import OF_KINDS
from tests.mutants.of_schemas import OF_SCHEMAS
from tests.mutants.of_the_wire import OF_LIMITS, OF_LOADING, OF_THE_WIRE

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

_OF_ANTHROPIC_TOOLS = (
    Mutant("drops-bash", "client-tool-is-counted", calls=anthropic_tools.drops_tools("bash")),
    Mutant("drops-the-text-editor", "client-tool-is-counted", calls=anthropic_tools.drops_tools("text_editor")),
    Mutant("drops-memory", "sdk-memory-tool-runs", calls=anthropic_tools.drops_tools("memory")),
    Mutant("bash-is-not-called", "client-tool-is-called-unforced", calls=anthropic_tools.drops_tools("bash")),
    Mutant(
        "any-input-for-bash", "client-tool-is-called", answers=anthropic_tools.any_input, base=BaseServer.CONSTRAINED
    ),
    Mutant("drops-input-examples", "input-examples-are-counted", calls=anthropic_tools.without_input_examples),
    Mutant("drops-unknown-tools", "tool-of-an-unknown-type", calls=anthropic_tools.drops_tools("hologram|bash")),
    Mutant("drops-the-computer", "picture-tool-is-seen-or-refused", calls=anthropic_tools.drops_tools("computer")),
    Mutant("drops-the-browser", "picture-tool-is-seen-or-refused", calls=anthropic_tools.drops_tools("browser")),
    Mutant(
        "drops-the-search", "forced-server-tool-is-used-or-refused", calls=anthropic_tools.drops_tools("web_search")
    ),
    Mutant(
        "drops-all-server-tools", "server-tool-is-counted-or-refused", calls=anthropic_tools.drops_tools("web|code")
    ),
    Mutant("search-is-text", "server-call-has-its-result", calls=anthropic_tools.drops_tools("web_search")),
    Mutant("search-without-result", "server-call-has-its-result", answers=anthropic_tools.server_call_without_result),
    Mutant("drops-the-tool-search", "tool-search-hides-nothing", calls=anthropic_tools.drops_tools("tool_search")),
    Mutant("drops-deferred-tools", "deferred-tools-alone", calls=anthropic_tools.drops_tools("custom")),
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

_OF_THE_WINDOW = (
    Mutant("no-backticks", "answer-over-the-window", answers=window.refused_over_the_window(window.NO_BACKTICKS)),
    Mutant(
        "context-limit-with-advice",
        "answer-over-the-window",
        answers=window.refused_over_the_window(window.WITH_ADVICE),
    ),
    Mutant(
        "long-answer-refused-as-long-prompt",
        "answer-over-the-window",
        answers=window.refused_over_the_window(window.AS_A_LONG_PROMPT),
    ),
    Mutant(
        "long-answer-refused-as-long-conversation",
        "openai-answer-over-the-window",
        answers=window.refused_as_a_long_conversation,
    ),
    Mutant("full-window-as-max-tokens", "answer-that-fills-the-window", answers=window.ends_as_max_tokens),
    Mutant(
        "full-window-streamed-as-max-tokens",
        "stream-that-fills-the-window",
        frames=window.stream_that_ends_as_max_tokens,
    ),
    Mutant("long-prompt-with-advice", "prompt-over-the-window", answers=window.long_prompt_with_advice),
    Mutant("limit-where-none-is-set", "openai-answer-without-a-limit", calls=window.limit_where_none_is_set),
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
        "one-cache-for-all-keys",
        "second-key-reads-nothing-of-the-first",
        calls=prompts.one_cache_for_all_keys,
        base=BaseServer.TWO_KEYS,
        in_every_example=True,
    ),
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

MUTANTS = (
    *_OF_TEXT,
    *_OF_TOOLS,
    *_OF_ANTHROPIC_TOOLS,
    *_OF_ANSWERS,
    *_OF_LIMITS,
    *_OF_THE_WINDOW,
    *_OF_OPENAI,
    *_OF_PROMPTS,
    *OF_BLOCKS,
    *OF_KINDS,
    *OF_LIMITS,
    *OF_LOADING,
    *OF_THE_WIRE,
    *OF_SCHEMAS,
)
