import itertools
import sys
from types import FrameType

from hypothesis import given
from hypothesis import strategies as st

from pensieve.core.answers.stop_sequences import StopSequenceFilter

SHORT_TEXT = st.text("abc ", max_size=40)
STOPS = st.lists(st.text("abc ", min_size=1, max_size=4), max_size=4)


def played(pieces: list[str], stops: list[str]) -> tuple[str, str | None]:
    held = StopSequenceFilter(stops)
    shown = "".join(held.feed(piece) for piece in pieces)
    return shown + ("" if held.matched else held.finish()), held.matched


def test_text_passes_at_once_without_stop_sequences() -> None:
    assert StopSequenceFilter([]).feed("anything") == "anything"


def test_text_that_may_become_a_stop_sequence_is_withheld() -> None:
    held = StopSequenceFilter(["world"])
    assert held.feed("Hello wor") == "Hello "
    assert held.feed("k") == "work"
    assert held.matched is None


def test_a_stop_sequence_across_pieces_is_found_and_not_emitted() -> None:
    assert played(["Hello w", "or", "ld! More"], ["world"]) == ("Hello ", "world")


def test_the_sequence_that_completes_first_wins() -> None:
    assert played(["abcd"], ["bcd", "b"]) == ("a", "b")


def test_the_longer_of_two_that_complete_together_wins() -> None:
    assert played(["xabc"], ["c", "abc"]) == ("x", "abc")


def test_withheld_text_is_emitted_at_the_end() -> None:
    assert played(["ends with wor"], ["world"]) == ("ends with wor", None)


def test_nothing_is_emitted_after_a_match() -> None:
    held = StopSequenceFilter(["."])
    held.feed("a.b")
    assert held.feed("c") == ""


@given(text=SHORT_TEXT, stops=STOPS, cuts=st.lists(st.integers(0, 40)))
def test_how_the_text_is_divided_makes_no_difference(text: str, stops: list[str], cuts: list[int]) -> None:
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(bounds)]
    assert played(pieces, stops) == played([text], stops) == played(list(text), stops)


@given(text=SHORT_TEXT, stops=STOPS)
def test_a_stop_sequence_is_never_emitted_and_never_missed(text: str, stops: list[str]) -> None:
    shown, matched = played(list(text), stops)
    assert not any(stop in shown for stop in stops)
    assert (matched is None) == (not any(stop in text for stop in stops))
    assert text.startswith(shown + (matched or ""))


def test_long_stop_sequences_take_a_constant_number_of_steps_for_each_character() -> None:
    stops = ["a" * 500 + chr(300 + number) + "b" * 500 for number in range(64)]
    text, num_calls = StopSequenceFilter(stops), 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal num_calls
        num_calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        for _ in range(200):
            text.feed("aaab")
    finally:
        sys.setprofile(before)
    assert num_calls < 10 * len(stops) * 4 * 200
