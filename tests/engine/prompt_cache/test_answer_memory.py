"""Answers are found again where they still say the same, within limits, and over restarts."""

from __future__ import annotations

import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from contracts.values.vocabulary import ChatMessage, Role, ToolCall
from pensieve.engine.prompt_cache.answer_memory import AnswerMemory, GeneratedAnswer, answers_path

ASKED = ChatMessage(Role.USER, "Go")
IDS = (5, 6, 70_000)


def said(text: str = "", thinking: str = "", *calls: ToolCall) -> ChatMessage:
    return ChatMessage(Role.ASSISTANT, text, thinking, calls)


def call(arguments: str, call_id: str = "toolu_1", name: str = "Edit") -> ToolCall:
    return ToolCall(call_id, name, arguments)


def recalled(told: ChatMessage, back: ChatMessage, asked: ChatMessage | None = ASKED) -> list[int] | None:
    memory = AnswerMemory()
    memory.remember(GeneratedAnswer(told, ASKED, IDS))
    return memory.recall(back, asked)


@pytest.mark.parametrize(
    ("generated", "back"),
    [
        ('{"a": 1, "b": "x"}', '{"b": "x", "a": 1}'),
        ('{"a": 1}', '{"a": 1, "replace_all": false}'),
        ('{"a": 1.0, "b": 1e2}', '{"a": 1, "b": 100}'),
        ('{"a": "x  \\ny \\n"}', '{"a": "x\\ny"}'),
        ('{"a": "\\u00e9"}', '{"a": "é"}'),
        ('{"a": [{"b": null}, true]}', '{"a": [{"b": null, "c": 1}, true]}'),
        ("{}", "{}"),
    ],
)
def test_a_call_is_the_same_while_it_holds_what_was_generated(generated: str, back: str) -> None:
    assert recalled(said("", "", call(generated)), said("", "", call(back))) == list(IDS)


@pytest.mark.parametrize(
    ("generated", "back"),
    [
        ('{"a": 1}', "{}"),
        ('{"a": 1}', '{"a": 2}'),
        ('{"a": 1}', '{"a": true}'),
        ('{"a": 0}', '{"a": false}'),
        ('{"a": 0}', '{"a": null}'),
        ('{"a": 1}', '{"a": "1"}'),
        ('{"a": " x"}', '{"a": "x"}'),
        ('{"a": [1, 2]}', '{"a": [1]}'),
        ('{"a": {"b": 1}}', '{"a": {}}'),
    ],
)
def test_a_call_with_something_else_in_it_is_another(generated: str, back: str) -> None:
    assert recalled(said("", "", call(generated)), said("", "", call(back))) is None


def test_ids_and_names_are_part_of_a_call() -> None:
    one, two = call("{}"), call("{}", "toolu_2", "Read")
    assert recalled(said("", "", one, two), said("", "", one, two)) == list(IDS)
    for calls in ((one,), (one, call("{}", "toolu_2")), (one, call("{}", "toolu_3", "Read")), (two, one)):
        assert recalled(said("", "", one, two), said("", "", *calls)) is None


def test_text_is_the_same_up_to_white_space_and_thinking_is_part_of_it() -> None:
    assert recalled(said("One\n\ntwo ", "Hm."), said("One two", "Hm.")) == list(IDS)
    assert recalled(said("One", "Hm."), said("One")) is None
    assert recalled(said("One"), said("One", "Hm.")) is None
    assert recalled(said("One", "", call("{}")), said("Two", "", call("{}"))) is None


def test_the_same_words_said_to_something_else_are_another_answer() -> None:
    assert recalled(said("OK"), said("OK"), ChatMessage(Role.USER, "Stop")) is None
    assert recalled(said("", "", call("{}")), said("", "", call("{}")), ChatMessage(Role.USER, "Stop")) == list(IDS)


def test_an_answer_whose_call_was_cut_is_not_remembered() -> None:
    memory = AnswerMemory()
    for arguments in ('{"a": ', "[]", "[" * 100_000):
        memory.remember(GeneratedAnswer(said("", "", call(arguments)), ASKED, IDS))
    memory.remember(GeneratedAnswer(said(), ASKED, IDS))
    memory.remember(GeneratedAnswer(said("One"), ASKED, ()))
    assert len(memory) == 0


def test_the_first_of_two_that_say_the_same_stays() -> None:
    memory = AnswerMemory()
    memory.remember(GeneratedAnswer(said("One"), ASKED, (1,)))
    memory.remember(GeneratedAnswer(said("One"), ASKED, (2,)))
    assert memory.recall(said("One"), ASKED) == [1]


def test_the_least_recently_used_are_forgotten_first() -> None:
    memory = AnswerMemory(max_answers=3)
    for number in range(3):
        memory.remember(GeneratedAnswer(said(str(number)), ASKED, IDS))
    assert memory.recall(said("0"), ASKED)
    memory.remember(GeneratedAnswer(said("3"), ASKED, IDS))
    assert [memory.recall(said(str(number)), ASKED) is not None for number in range(4)] == [True, False, True, True]


def test_the_limit_in_bytes_holds_after_every_insert() -> None:
    memory = AnswerMemory(max_bytes=2000)
    for number in range(50):
        memory.remember(GeneratedAnswer(said(f"{number} " + "x" * 20 * number), ASKED, tuple(range(number + 1))))
        assert memory.num_bytes <= 2000
    assert len(memory) > 0


def test_what_is_kept_in_a_file_is_there_after_a_restart_and_nobody_elses(tmp_path: Path) -> None:
    path = tmp_path / "answers" / "tiny.db"
    memory = AnswerMemory(path)
    memory.remember(GeneratedAnswer(said("One"), ASKED, IDS))
    assert AnswerMemory(path).recall(said("One"), ASKED) == list(IDS)  # as after a kill: the first is still open
    memory.close()
    assert memory.recall(said("One"), ASKED) is None
    again = AnswerMemory(path)
    assert again.recall(said("One"), ASKED) == list(IDS)
    again.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_damaged_or_foreign_file_is_set_aside_and_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "tiny.db"
    path.write_bytes(b"no database at all" * 100)
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE answers (key TEXT, used INTEGER, num_bytes INTEGER)")
    connection.close()
    for file in (path, foreign):
        memory = AnswerMemory(file)
        memory.remember(GeneratedAnswer(said("One"), ASKED, IDS))
        memory.close()
        again = AnswerMemory(file)
        assert again.recall(said("One"), ASKED) == list(IDS)
        again.close()
        assert file.with_name(file.name + ".damaged").exists()


def test_a_row_that_has_changed_is_not_served(tmp_path: Path) -> None:
    path = tmp_path / "tiny.db"
    memory = AnswerMemory(path)
    memory.remember(GeneratedAnswer(said("One"), ASKED, IDS))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE answers SET token_ids = x'00000000'")
    connection.close()
    assert memory.recall(said("One"), ASKED) is None
    assert len(memory) == 0
    memory.close()


def test_a_place_that_cannot_be_written_costs_only_the_memory_over_restarts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    memory = AnswerMemory(tmp_path / "file" / "tiny.db")
    memory.remember(GeneratedAnswer(said("One"), ASKED, IDS))
    assert memory.recall(said("One"), ASKED) == list(IDS)


def test_threads_share_it() -> None:
    memory = AnswerMemory()

    def work(first: int) -> None:
        for number in range(first, first + 50):
            memory.remember(GeneratedAnswer(said(str(number)), ASKED, (number,)))
            assert memory.recall(said(str(number)), ASKED) == [number]

    threads = [threading.Thread(target=work, args=(100 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(memory) == 200


def test_answers_of_another_tokenizer_are_kept_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    one = answers_path(tmp_path, "org/model", tmp_path)
    assert one.parent == tmp_path
    assert one == answers_path(tmp_path, "org/model", tmp_path)
    (tmp_path / "tokenizer.json").write_text("[]")
    assert one != answers_path(tmp_path, "org/model", tmp_path)
