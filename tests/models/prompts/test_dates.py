"""A conversation keeps the date on which it began, so that midnight does not change its prompt."""

from __future__ import annotations

from datetime import datetime, timedelta

from pensieve.models.prompts import dates
from pensieve.models.prompts.dates import ConversationDates
from tests.models.prompts import small_templates as small
from tests.models.prompts.small_templates import assistant, chat_template, system, text_of, user

EVENING = datetime(2026, 3, 31, 23, 59)


class Clock:
    def __init__(self) -> None:
        self.now = EVENING

    def __call__(self) -> datetime:
        return self.now


def test_a_prompt_keeps_the_date_of_its_first_request_after_midnight() -> None:
    clock = Clock()
    template = chat_template(small.DATED, clock=clock)
    opening = (system("s"), user("Hi"))
    first = template.render(opening).token_ids
    assert text_of(first).startswith("31 Mar 2026")
    clock.now += timedelta(minutes=2)
    later = template.render((*opening, assistant("Hello"), user("Bye"))).token_ids
    assert text_of(later).startswith("31 Mar 2026")
    assert later[: len(first)] == first
    assert text_of(template.render((system("s"), user("Another"))).token_ids).startswith("01 Apr 2026")


def test_conversations_differ_by_system_text_and_first_question() -> None:
    clock = Clock()
    dates_by_conversation = ConversationDates(clock)
    for messages in ((user("a"),), (system("s"), user("a")), (system("t"), user("a")), (system("s"),)):
        clock.now += timedelta(days=1)
        assert dates_by_conversation.date_of(messages) == clock.now
    clock.now += timedelta(days=1)
    assert dates_by_conversation.date_of((user("a"), assistant("b"), user("c"))) == EVENING + timedelta(days=1)


def test_the_least_recently_used_conversations_lose_their_dates(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(dates, "MAX_CONVERSATIONS", 2)
    clock = Clock()
    dates_by_conversation = ConversationDates(clock)
    for name in ("a", "b", "a", "c"):
        dates_by_conversation.date_of((user(name),))
    clock.now += timedelta(days=1)
    assert [dates_by_conversation.date_of((user(name),)) == EVENING for name in ("a", "c")] == [True, True]
    assert dates_by_conversation.date_of((user("b"),)) == clock.now
