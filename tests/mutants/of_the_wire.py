"""Mutants in how bodies travel, and in OpenAI's API beyond the plain chat."""

from __future__ import annotations

from tests.mutants.faults import messages, openai, wire
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
