import itertools

from hypothesis import given
from hypothesis import strategies as st

from pensieve.core.answers.stop_sequences import StopSequenceFilter

SHORT_TEXT = st.text("abc ", max_size=40)
STOPS = st.lists(st.text("abc ", min_size=1, max_size=4), max_size=4)


def played(pieces: list[str], stops: list[str]) -> tuple[str, str | None]:
    held = StopSequenceFilter(stops)
    shown = "".join(held.feed(piece) for piece in pieces)
    return shown + ("" if held.matched else held.finish()), held.matched


def test_text_without_stop_sequences_passes_at_once() -> None:
    assert StopSequenceFilter([]).feed("anything") == "anything"


def test_what_could_become_a_stop_sequence_is_held_back() -> None:
    held = StopSequenceFilter(["world"])
    assert held.feed("Hello wor") == "Hello "
    assert held.feed("k") == "work"
    assert held.matched is None


def test_a_stop_sequence_over_several_pieces_is_found_and_not_shown() -> None:
    assert played(["Hello w", "or", "ld! More"], ["world"]) == ("Hello ", "world")


def test_the_sequence_that_is_complete_first_wins() -> None:
    assert played(["abcd"], ["bcd", "b"]) == ("a", "b")


def test_of_two_complete_at_the_same_character_the_longer_one_wins() -> None:
    assert played(["xabc"], ["c", "abc"]) == ("x", "abc")


def test_what_is_held_back_at_the_end_is_shown() -> None:
    assert played(["ends with wor"], ["world"]) == ("ends with wor", None)


def test_nothing_is_shown_after_a_match() -> None:
    held = StopSequenceFilter(["."])
    held.feed("a.b")
    assert held.feed("c") == ""


@given(text=SHORT_TEXT, stops=STOPS, cuts=st.lists(st.integers(0, 40)))
def test_the_pieces_make_no_difference(text: str, stops: list[str], cuts: list[int]) -> None:
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(bounds)]
    assert played(pieces, stops) == played([text], stops) == played(list(text), stops)


@given(text=SHORT_TEXT, stops=STOPS)
def test_no_stop_sequence_is_ever_shown_and_none_is_lost(text: str, stops: list[str]) -> None:
    shown, matched = played(list(text), stops)
    assert not any(stop in shown for stop in stops)
    assert (matched is None) == (not any(stop in text for stop in stops))
    assert text.startswith(shown + (matched or ""))
