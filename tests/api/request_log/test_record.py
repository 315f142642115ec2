"""The fields of a request's line: figures that agree with its events, and nothing that a client could forge."""

from contracts.values.generation import GenerationFinished, GenerationStarted, TextGenerated, ToolCallStarted, Usage
from contracts.values.vocabulary import StopReason
from pensieve.api.request_log.record import MAX_CHARACTERS, RequestRecord, printable
from pensieve.core.errors import GenerationError


def test_an_answer_has_its_tokens_and_its_stop_reason() -> None:
    record = RequestRecord("POST", "/v1/messages", status=200, is_answered=True)
    record.note_event(GenerationStarted(100, cached_tokens=60))
    record.note_event(TextGenerated("one", 3))
    record.note_event(GenerationFinished(StopReason.END_TURN, Usage(100, 21, cached_tokens=80)))
    fields = record.fields()
    assert (fields["read_tokens"], fields["computed_tokens"], fields["generated_tokens"]) == (80, 20, 21)
    assert fields["stop_reason"] == "end_turn"
    assert "error" not in fields


def test_the_first_token_counts_from_when_it_was_sampled_even_if_it_is_not_shown() -> None:
    """A tool call is shown as a whole, and thinking perhaps not at all."""
    record = RequestRecord("POST", "/v1/messages", began_at=0.0)
    record.note_event(GenerationStarted(10))
    record.note_event(ToolCallStarted("toolu_1", "search"))
    record.note_event(GenerationFinished(StopReason.TOOL_USE, Usage(10, 5), first_token_at=2.5))
    record.generations[0].ended_at = 4.5
    fields = record.fields()
    assert (fields["first_token_seconds"], fields["tokens_per_second"]) == (2.5, 2.0)


def test_two_generations_of_one_request_are_added_up() -> None:
    record = RequestRecord("POST", "/v1/messages", is_answered=True)
    for tokens in (7, 9):
        record.note_event(GenerationStarted(100))
        record.note_event(GenerationFinished(StopReason.END_TURN, Usage(100, tokens, cached_tokens=10), None, 1.0))
    fields = record.fields()
    assert (fields["read_tokens"], fields["computed_tokens"], fields["generated_tokens"]) == (20, 180, 16)


def test_a_client_that_leaves_is_no_error() -> None:
    record = RequestRecord("POST", "/v1/messages")
    record.note_event(GenerationStarted(100, cached_tokens=60))
    record.note_event(TextGenerated("one", 3))
    fields = record.fields()
    assert (fields["stop_reason"], fields["generated_tokens"]) == ("cancelled", 3)
    assert "error" not in fields


def test_a_request_that_was_not_computed_claims_no_computed_tokens() -> None:
    record = RequestRecord("POST", "/v1/messages")
    record.note_event(GenerationStarted(100, cached_tokens=60))
    assert record.fields()["read_tokens"] == 60
    assert "computed_tokens" not in record.fields()


def test_a_failed_generation_has_the_error_that_its_client_sees() -> None:
    record = RequestRecord("POST", "/v1/messages", status=200, is_answered=True)
    record.note_event(GenerationStarted(1))
    record.note_error(GenerationError("the text of an error is not in the line"))
    fields = record.fields()
    assert fields["error"] == "api_error"
    assert not any("text" in str(value) for value in fields.values())


def test_a_client_s_names_are_cut_and_without_control_characters() -> None:
    record = RequestRecord("POST", "/" + 100_000 * "x", model="a\n2026 INFO forged\x1b[2J\u2028")
    fields = record.fields()
    assert fields["path"] == "/" + (MAX_CHARACTERS - 2) * "x" + "…"
    assert fields["model"] == r"a\n2026 INFO forged\x1b[2J\u2028"
    assert printable("Qwen3-Übung 8B") == "Qwen3-Übung 8B"
