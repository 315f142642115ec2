"""Answers are recalled while they mean the same, within limits, and across restarts (C1)."""

from __future__ import annotations

import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from contracts.values.vocabulary import ChatMessage, Role, ToolCall
from pensieve.engine.prompt_cache.answer_memory import AnswerMemory, GeneratedAnswer, answers_path

QUESTION = ChatMessage(Role.USER, "Go")
IDS = (5, 6, 70_000)


def turn(text: str = "", thinking: str = "", *calls: ToolCall) -> ChatMessage:
    return ChatMessage(Role.ASSISTANT, text, thinking, calls)


def call(arguments: str, call_id: str = "toolu_1", name: str = "Edit") -> ToolCall:
    return ToolCall(call_id, name, arguments)


def recalled(generated: ChatMessage, back: ChatMessage, previous: ChatMessage | None = QUESTION) -> list[int] | None:
    memory = AnswerMemory()
    memory.remember(GeneratedAnswer(generated, QUESTION, IDS))
    return memory.recall(back, previous)


@pytest.mark.parametrize(
    ("generated", "back"),
    [
        ('{"a": 1, "b": "x"}', '{"b": "x", "a": 1}'),
        ('{"a": 1}', '{"a": 1, "replace_all": false}'),
        ('{"a": 1.0, "b": 1e2}', '{"a": 1, "b": 100}'),
        ('{"a": "x  \\ny \\n"}', '{"a": "x\\ny"}'),
        ('{"a": "\\u00e9"}', '{"a": "é"}'),
        ('{"a": [{"b": null}, true]}', '{"a": [{"b": null, "c": [], "d": 0, "e": "", "f": {}, "g": null}, true]}'),
        ("{}", "{}"),
    ],
)
def test_a_call_is_recalled_while_it_contains_every_generated_argument(generated: str, back: str) -> None:
    assert recalled(turn("", "", call(generated)), turn("", "", call(back))) == list(IDS)


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
        ('{"a": 1}', '{"a": 1, "force": true}'),
        ('{"a": 1}', '{"a": 1, "limit": 2000}'),
        ('{"a": {"b": 1}}', '{"a": {"b": 1, "c": "x"}}'),
        ("{}", '{"path": "."}'),
    ],
)
def test_a_call_with_a_changed_argument_is_not_recalled(generated: str, back: str) -> None:
    assert recalled(turn("", "", call(generated)), turn("", "", call(back))) is None


def test_ids_and_names_are_part_of_a_call() -> None:
    one, two = call("{}"), call("{}", "toolu_2", "Read")
    assert recalled(turn("", "", one, two), turn("", "", one, two)) == list(IDS)
    for calls in ((one,), (one, call("{}", "toolu_2")), (one, call("{}", "toolu_3", "Read")), (two, one)):
        assert recalled(turn("", "", one, two), turn("", "", *calls)) is None


def test_text_is_the_same_up_to_white_space_and_thinking_is_part_of_it() -> None:
    assert recalled(turn("One\n\ntwo ", "Hm."), turn("One two", "Hm.")) == list(IDS)
    assert recalled(turn("One", "Hm."), turn("One")) is None
    assert recalled(turn("One"), turn("One", "Hm.")) is None
    assert recalled(turn("One", "", call("{}")), turn("Two", "", call("{}"))) is None


def test_the_same_text_after_another_turn_is_a_different_answer() -> None:
    assert recalled(turn("OK"), turn("OK"), ChatMessage(Role.USER, "Stop")) is None
    assert recalled(turn("", "", call("{}")), turn("", "", call("{}")), ChatMessage(Role.USER, "Stop")) == list(IDS)


def test_an_answer_with_a_truncated_call_is_not_stored() -> None:
    memory = AnswerMemory()
    for arguments in ('{"a": ', "[]", "[" * 100_000):
        memory.remember(GeneratedAnswer(turn("", "", call(arguments)), QUESTION, IDS))
    memory.remember(GeneratedAnswer(turn(), QUESTION, IDS))
    memory.remember(GeneratedAnswer(turn("One"), QUESTION, ()))
    assert len(memory) == 0


def test_the_first_of_two_equal_answers_stays() -> None:
    memory = AnswerMemory()
    memory.remember(GeneratedAnswer(turn("One"), QUESTION, (1,)))
    memory.remember(GeneratedAnswer(turn("One"), QUESTION, (2,)))
    assert memory.recall(turn("One"), QUESTION) == [1]


def test_the_least_recently_used_answers_are_deleted_first() -> None:
    memory = AnswerMemory(max_answers=3)
    for number in range(3):
        memory.remember(GeneratedAnswer(turn(str(number)), QUESTION, IDS))
    assert memory.recall(turn("0"), QUESTION)
    memory.remember(GeneratedAnswer(turn("3"), QUESTION, IDS))
    assert [memory.recall(turn(str(number)), QUESTION) is not None for number in range(4)] == [True, False, True, True]


def test_the_limit_in_bytes_holds_after_every_insert() -> None:
    memory = AnswerMemory(max_bytes=2000)
    for number in range(50):
        memory.remember(GeneratedAnswer(turn(f"{number} " + "x" * 20 * number), QUESTION, tuple(range(number + 1))))
        assert memory.num_bytes <= 2000
    assert len(memory) > 0


def test_a_file_of_answers_survives_a_restart_and_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "answers" / "tiny.db"
    memory = AnswerMemory(path)
    memory.remember(GeneratedAnswer(turn("One"), QUESTION, IDS))
    assert AnswerMemory(path).recall(turn("One"), QUESTION) == list(IDS)  # as after a kill: the first is still open
    memory.close()
    assert memory.recall(turn("One"), QUESTION) is None
    again = AnswerMemory(path)
    assert again.recall(turn("One"), QUESTION) == list(IDS)
    again.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_damaged_or_foreign_file_is_set_aside_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "tiny.db"
    path.write_bytes(b"not a database at all" * 100)
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE answers (key TEXT, used INTEGER, num_bytes INTEGER)")
    connection.close()
    for file in (path, foreign):
        memory = AnswerMemory(file)
        memory.remember(GeneratedAnswer(turn("One"), QUESTION, IDS))
        memory.close()
        again = AnswerMemory(file)
        assert again.recall(turn("One"), QUESTION) == list(IDS)
        again.close()
        assert file.with_name(file.name + ".damaged").exists()


def test_a_row_that_has_changed_is_not_served(tmp_path: Path) -> None:
    path = tmp_path / "tiny.db"
    memory = AnswerMemory(path)
    memory.remember(GeneratedAnswer(turn("One"), QUESTION, IDS))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE answers SET token_ids = x'00000000'")
    connection.close()
    assert memory.recall(turn("One"), QUESTION) is None
    assert len(memory) == 0
    memory.close()


def test_answers_are_kept_in_memory_if_the_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    memory = AnswerMemory(tmp_path / "file" / "tiny.db")
    memory.remember(GeneratedAnswer(turn("One"), QUESTION, IDS))
    assert memory.recall(turn("One"), QUESTION) == list(IDS)


def test_threads_share_an_answer_memory() -> None:
    memory = AnswerMemory()

    def work(first: int) -> None:
        for number in range(first, first + 50):
            memory.remember(GeneratedAnswer(turn(str(number)), QUESTION, (number,)))
            assert memory.recall(turn(str(number)), QUESTION) == [number]

    threads = [threading.Thread(target=work, args=(100 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(memory) == 200


def test_answers_of_another_tokenizer_have_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    one = answers_path(tmp_path, "org/model", tmp_path)
    assert one.parent == tmp_path
    assert one == answers_path(tmp_path, "org/model", tmp_path)
    (tmp_path / "tokenizer.json").write_text("[]")
    assert one != answers_path(tmp_path, "org/model", tmp_path)
