"""Mutants that answer a request for something else as an ordinary one, or report their prompts wrongly."""

from __future__ import annotations

from tests.mutants.faults import kinds
from tests.mutants.faults.messages import ignores, refusal_without_a_name
from tests.mutants.mutant import BaseServer, Mutant

OF_KINDS = (
    Mutant("ignores-choices", "choice-that-is-wrong", calls=kinds.ignores_choices),
    Mutant("ignores-compaction", "compaction-is-done-or-refused", calls=ignores("compaction")),
    Mutant("ignores-unknown-edits", "edit-that-is-unknown", calls=kinds.ignores_edits),
    Mutant("ignores-fast-mode", "fast-mode-is-reported-or-refused", calls=ignores("speed")),
    Mutant("fast-mode-refused-otherwise", "fast-mode-is-reported-or-refused", answers=refusal_without_a_name),
    Mutant("ignores-safeguards", "safeguards-are-done-or-refused", calls=ignores("safeguards")),
    Mutant("ignores-edits", "results-are-cleared", calls=kinds.ignores_edits),
    Mutant("edit-not-reported", "results-are-cleared", answers=kinds.no_edit_reported),
    Mutant("clears-excluded-tools", "results-are-kept", calls=kinds.excluded_tools_cleared),
    Mutant("keeps-inputs", "results-and-inputs-are-cleared", calls=kinds.inputs_kept),
    Mutant("always-an-edit", "all-thinking-is-kept", answers=kinds.always_an_edit),
    Mutant("thinking-kept", "old-thinking-is-cleared", answers=kinds.no_edit_reported),
    Mutant(
        "ignores-the-older-field",
        "answer-keeps-to-the-older-field",
        calls=ignores("output_format"),
        base=BaseServer.CONSTRAINED,
    ),
    Mutant("edits-missing-in-the-stream", "edits-in-a-stream", frames=kinds.no_edits_in_the_stream),
    Mutant("count-before-the-edits", "edits-are-counted", calls=kinds.count_before_the_edits),
    Mutant(
        "a-token-generated-anyway",
        "max-tokens-of-zero-fills-the-cache",
        calls=kinds.a_token_generated_anyway,
        base=BaseServer.CONSTRAINED,
    ),
    Mutant("answers-a-max-tokens-of-0", "max-tokens-of-zero-with-an-answer", calls=kinds.without_max_tokens_of_0),
    Mutant("always-a-miss", "cache-miss-of-nothing", answers=kinds.always_a_miss),
    Mutant("never-a-miss", "cache-miss-of-a-part", answers=kinds.never_a_miss),
    Mutant("every-message-known", "cache-miss-of-an-unknown-message", answers=kinds.never_a_miss),
    Mutant("diagnostics-missing-in-the-stream", "cache-miss-in-a-stream", frames=kinds.no_diagnostics_in_the_stream),
    Mutant("everything-is-thinking", "thinking-tokens-are-reported", answers=kinds.thinking_tokens_of_everything),
    Mutant("everything-is-reasoning", "openai-reasoning-tokens", answers=kinds.thinking_tokens_of_everything),
    Mutant("cut-off-call-as-text", "call-cut-off-is-no-text", answers=kinds.calls_as_text),
    Mutant("cut-off-function-as-text", "openai-call-cut-off-is-no-text", answers=kinds.calls_as_text),
)
