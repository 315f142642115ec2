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


def asking(*stop_sequences: str, max_tokens: int = MAX_TOKENS) -> GenerationRequest:
    return GenerationRequest((ChatMessage(Role.USER, "Hello."),), max_tokens, stop_sequences=stop_sequences)


def fault(events: Sequence[object], request: GenerationRequest | None = None) -> str | None:
    monitor, found = GenerationMonitor(request or asking()), None
    try:
        for event in events:
            monitor.see(event)  # type: ignore[arg-type]
        monitor.finish()
    except ContractViolation as violation:
        found = violation
    assert found is None or found.clause.id == "IM-8"
    return str(found) if found else None


def spoken(chunks: Sequence[str]) -> list[GenerationEvent]:
    """One token a chunk, then the end of the turn."""
    events = [TextGenerated(text, number) for number, text in enumerate(chunks, start=1)]
    return [START, *events, GenerationFinished(StopReason.END_TURN, Usage(7, len(chunks) + 1))]


@settings(deadline=None)
@given(st.lists(texts, max_size=10))
def test_a_stream_of_start_texts_and_end_is_accepted(chunks: list[str]) -> None:
    assert fault(spoken(chunks)) is None


@settings(deadline=None)
@given(st.lists(texts, max_size=12), st.lists(st.text("ab", max_size=4), max_size=3))
def test_a_stop_sequence_is_seen_however_the_text_is_cut(chunks: list[str], stop_sequences: list[str]) -> None:
    whole = "".join(chunks)
    shows = any(stop in whole for stop in stop_sequences if stop)
    assert (fault(spoken(chunks), asking(*stop_sequences)) is not None) == shows


@settings(deadline=None)
@given(st.lists(st.integers(0, MAX_TOKENS + 2), min_size=1, max_size=5))
def test_token_counts_may_stand_or_rise_up_to_max_tokens_and_no_more(counts: list[int]) -> None:
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
        ([GenerationStarted(0)], asking(), "a prompt of no tokens"),
        ([START, TextGenerated("", 1)], asking(), "empty text"),
        ([START, "text"], asking(), "str is no event"),
        ([START, GenerationFinished(StopReason.END_TURN, Usage(8, 1))], asking(), "differ between start and end"),
        ([START, GenerationFinished(StopReason.END_TURN, Usage(7, 21))], asking(), "passed max_tokens"),
        ([START, GenerationFinished(StopReason.STOP_SEQUENCE, Usage(7, 1))], asking("a"), "does not go with"),
        ([START, GenerationFinished(StopReason.END_TURN, Usage(7, 1), "a")], asking("a"), "does not go with"),
        ([START, GenerationFinished(StopReason.STOP_SEQUENCE, Usage(7, 1), "b")], asking("a"), "an unknown stop"),
        ([START, GenerationFinished(StopReason.MAX_TOKENS, Usage(7, 19))], asking(), "cut before max_tokens"),
        ([START], asking(), "ended without"),
        ([], asking(), "ended without"),
    ],
)
def test_a_stream_that_is_wrong_is_caught_and_told_why(
    events: list[object], request_: GenerationRequest, detail: str
) -> None:
    found = fault(events, request_)
    assert found is not None
    assert detail in found


def test_ends_that_are_told_rightly_are_accepted() -> None:
    assert fault([START, GenerationFinished(StopReason.STOP_SEQUENCE, Usage(7, 3), "a")], asking("a")) is None
    assert fault([START, GenerationFinished(StopReason.MAX_TOKENS, Usage(7, MAX_TOKENS))]) is None


def test_an_empty_stop_sequence_stops_nothing() -> None:
    assert fault(spoken(["a", "b"]), asking("")) is None


def test_a_violation_does_not_show_the_text_in_which_it_was_found() -> None:
    found = fault(spoken(["a private ", "matter"]), asking("matter"))
    assert found is not None
    assert "private" not in found
    assert "matter" not in found
