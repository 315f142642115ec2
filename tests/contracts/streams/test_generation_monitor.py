"""Clause IM-8, the monitor of a model's stream."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.clauses import ContractViolation
from contracts.protocols.inference import GenerationMonitor
from contracts.values.generation import GenerationEvent, GenerationFinished, GenerationStarted, TextGenerated, Usage
from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, StopReason

MAX_TOKENS = 20
START = GenerationStarted(7)
END = GenerationFinished(StopReason.END_TURN, Usage(7, 5))

texts = st.text("ab", min_size=1, max_size=5)


def request_with(*stop_sequences: str, max_tokens: int = MAX_TOKENS) -> GenerationRequest:
    return GenerationRequest((ChatMessage(Role.USER, "Hello."),), max_tokens, stop_sequences=stop_sequences)


def fault(events: Sequence[object], request: GenerationRequest | None = None) -> str | None:
    monitor, caught = GenerationMonitor(request or request_with()), None
    try:
        for event in events:
            monitor.see(event)  # type: ignore[arg-type]
        monitor.finish()
    except ContractViolation as violation:
        caught = violation
    assert caught is None or caught.clause.id == "IM-8"
    return str(caught) if caught else None


def stream_of(chunks: Sequence[str]) -> list[GenerationEvent]:
    """One token per chunk, then the end of the turn."""
    events = [TextGenerated(text, number) for number, text in enumerate(chunks, start=1)]
    return [START, *events, GenerationFinished(StopReason.END_TURN, Usage(7, len(chunks) + 1))]


@settings(deadline=None)
@given(st.lists(texts, max_size=10))
def test_a_stream_of_start_texts_and_end_is_accepted(chunks: list[str]) -> None:
    assert fault(stream_of(chunks)) is None


@settings(deadline=None)
@given(st.lists(texts, max_size=12), st.lists(st.text("ab", max_size=4), max_size=3))
def test_a_stop_sequence_is_found_across_chunks(chunks: list[str], stop_sequences: list[str]) -> None:
    whole = "".join(chunks)
    shows = any(stop in whole for stop in stop_sequences if stop)
    assert (fault(stream_of(chunks), request_with(*stop_sequences)) is not None) == shows


@settings(deadline=None)
@given(st.lists(st.integers(0, MAX_TOKENS + 2), min_size=1, max_size=5))
def test_token_counts_may_stay_or_rise_up_to_max_tokens(counts: list[int]) -> None:
    events = [TextGenerated("a", count) for count in counts]
    end = GenerationFinished(StopReason.END_TURN, Usage(7, counts[-1]))
    is_legal = counts == sorted(counts) and counts[-1] <= MAX_TOKENS
    assert (fault([START, *events, end]) is None) == is_legal


@settings(deadline=None)
@given(st.lists(st.sampled_from([START, TextGenerated("a", 5), END]), max_size=5))
def test_only_one_order_of_events_is_accepted(events: list[GenerationEvent]) -> None:
    is_legal = events[:1] == [START] and events[-1:] == [END] and all(event == events[1] for event in events[1:-1])
    is_legal = is_legal and not {START, END} & set(events[1:-1])
    assert (fault(events) is None) == is_legal


@pytest.mark.parametrize(
    ("events", "request_", "detail"),
    [
        ([GenerationStarted(0)], request_with(), "the prompt has no tokens"),
        ([START, TextGenerated("", 1)], request_with(), "text is empty"),
        ([START, "text"], request_with(), "str is not an event"),
        ([START, GenerationFinished(StopReason.END_TURN, Usage(8, 1))], request_with(), "differ between start and end"),
        ([START, GenerationFinished(StopReason.END_TURN, Usage(7, 21))], request_with(), "exceeded max_tokens"),
        ([START, GenerationFinished(StopReason.STOP_SEQUENCE, Usage(7, 1))], request_with("a"), "does not match"),
        ([START, GenerationFinished(StopReason.END_TURN, Usage(7, 1), "a")], request_with("a"), "does not match"),
        (
            [START, GenerationFinished(StopReason.STOP_SEQUENCE, Usage(7, 1), "b")],
            request_with("a"),
            "was not requested",
        ),
        ([START, GenerationFinished(StopReason.MAX_TOKENS, Usage(7, 19))], request_with(), "cut off before max_tokens"),
        (
            [START, GenerationFinished(StopReason.WINDOW_FULL, Usage(7, 20))],
            request_with(),
            "max_tokens, not the window",
        ),
        ([START], request_with(), "ended without"),
        ([], request_with(), "ended without"),
    ],
)
def test_an_invalid_stream_is_caught_with_the_reason(
    events: list[object], request_: GenerationRequest, detail: str
) -> None:
    message = fault(events, request_)
    assert message is not None
    assert detail in message


def test_consistent_ends_are_accepted() -> None:
    assert fault([START, GenerationFinished(StopReason.STOP_SEQUENCE, Usage(7, 3), "a")], request_with("a")) is None
    assert fault([START, GenerationFinished(StopReason.MAX_TOKENS, Usage(7, MAX_TOKENS))]) is None
    assert fault([START, GenerationFinished(StopReason.WINDOW_FULL, Usage(7, 19))]) is None


def test_an_empty_stop_sequence_is_ignored() -> None:
    assert fault(stream_of(["a", "b"]), request_with("")) is None


def test_a_violation_does_not_contain_the_text() -> None:
    message = fault(stream_of(["a private ", "matter"]), request_with("matter"))
    assert message is not None
    assert "private" not in message
    assert "matter" not in message
