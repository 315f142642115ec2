"""Mutants in how bodies travel, in OpenAI's API beyond the plain chat, and with heavy or odd requests."""

from __future__ import annotations

from tests.mutants.faults import limits, messages, openai, wire
from tests.mutants.mutant import BaseServer, Mutant

OF_THE_WIRE = (
    Mutant("refusals-that-reset", "refusal-while-sending", reads_bodies=False, base=BaseServer.GUARDED),
    Mutant("gzip-taken-for-json", "gzip-is-read-or-refused", calls=wire.gzip_taken_for_json),
    Mutant("unknown-hello", "head-of-hello", answers=wire.hello_is_unknown),
    Mutant(
        "only-text-as-arguments",
        "openai-arguments-of-history",
        answers=wire.refuses_if(wire.is_call_without_text, "arguments"),
        in_every_example=True,
    ),
    Mutant(
        "only-whole-objects-as-arguments",
        "openai-broken-arguments-of-history",
        answers=wire.refuses_if(wire.is_call_with_broken_arguments, "arguments"),
        in_every_example=True,
    ),
    Mutant(
        "only-typed-parameters",
        "openai-parameters-without-a-type",
        answers=wire.refuses_if(wire.is_function_without_a_type, "parameters"),
        in_every_example=True,
    ),
    Mutant("older-images-refused", "openai-older-image", answers=wire.refuses_if(wire.is_image, "image_url")),
    Mutant("one-answer-of-two", "openai-several-answers", calls=messages.ignores("n")),
    Mutant("no-log-probabilities", "openai-logprobs", calls=messages.ignores("logprobs")),
    Mutant("ignores-penalties", "openai-chat-that-is-wrong", calls=messages.ignores("presence_penalty")),
    Mutant(
        "anthropics-envelope-elsewhere",
        "openai-errors-on-every-path",
        answers=openai.anthropics_envelope,
        in_every_example=True,
    ),
)

OF_LOADING = (
    Mutant("own-page-refused", "own-origin-is-answered", answers=wire.any_origin_is_foreign),
    Mutant(
        "unknown-models-load",
        "unknown-model-is-not-loaded",
        answers=wire.unknown_models_load,
        in_every_example=True,
    ),
    Mutant("loading-fails", "loaded-model-answers", answers=wire.loading_fails),
    Mutant("unloads-under-streams", "unloading-leaves-streams-whole", frames=wire.cut_off),
)

OF_LIMITS = (
    Mutant("a-pdf-stops-all", "pdf-with-a-million-operators", calls=limits.one_works_while_all_wait),
    Mutant("many-blocks-stop-all", "blocks-in-number", calls=limits.one_works_while_all_wait),
    Mutant("many-values-stop-all", "values-in-number", calls=limits.one_works_while_all_wait),
    Mutant(
        "fails-on-a-tool-named-often",
        "tool-that-is-named-often",
        answers=limits.fails_if(limits.has_many_references),
    ),
    Mutant("fails-on-many-pdfs", "pdf-of-a-million-letters", answers=limits.fails_if(limits.has_many_pdfs)),
    Mutant("fails-on-deep-schemas", "schema-of-many-levels", answers=limits.fails_if(limits.has_a_deep_schema)),
    Mutant(
        "fails-on-many-combinations",
        "schema-of-many-combinations",
        answers=limits.fails_if(limits.has_many_definitions),
    ),
    Mutant(
        "fails-on-the-smallest-integer",
        "enum-of-the-smallest-integer",
        answers=limits.fails_if(limits.has_the_smallest_integer),
    ),
    Mutant("fails-on-many-items", "call-of-many-items", answers=limits.fails_if(limits.forces_many_items)),
    Mutant("fails-on-doubled-slashes", "doubled-slashes", answers=limits.fails_if(limits.has_doubled_slashes)),
    Mutant("fails-on-two-dots", "host-with-two-dots", answers=limits.fails_if(limits.has_a_host_with_two_dots)),
    Mutant(
        "fails-on-many-digits",
        "limit-of-thousands-of-digits",
        answers=limits.fails_if(limits.has_thousands_of_digits),
    ),
    Mutant(
        "fails-on-unknown-versions", "metrics-in-a-version-that-is-none", answers=limits.fails_if(limits.has_no_version)
    ),
    Mutant("accepts-handshakes", "handshake-of-a-foreign-page", answers=limits.accepts_handshakes),
    Mutant("waits-for-slow-bodies", "six-slow-bodies", serves_one_at_a_time=True, waits_for_bodies=True),
    Mutant("waits-for-bodies-forever", "bodies-that-never-arrive", waits_for_bodies=True),
    Mutant("pings-before-a-refusal", "late-refusal-of-a-stream", answers=limits.refusal_in_the_stream),
    Mutant("keeps-alive-before-a-refusal", "late-refusal-of-a-chat", answers=limits.refusal_in_the_stream),
    Mutant("late-without-retry-after", "late-refusal-for-lack-of-room", answers=limits.without_retry_after),
)
