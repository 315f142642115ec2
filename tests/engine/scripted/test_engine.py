import asyncio
import time
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.values.generation import GenerationFinished, TextGenerated
from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Thinking
from pensieve.core.errors import GenerationError, ModelLoadingError, OverloadedError, PensieveError, ValidationError
from pensieve.device.memory.ledger import Ledger
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.scripted.engine import ScriptedEngine
from pensieve.engine.scripted.script import Script, ScriptedReply, ScriptedServer, load_script


def engine(*replies: ScriptedReply, max_active: int = 64) -> ScriptedEngine:
    memory = Ledger(2**30)
    return ScriptedEngine(Script(replies), memory, SlidingWindowMonitor(memory.usage), max_active=max_active)


def asking(text: str) -> GenerationRequest:
    return GenerationRequest((ChatMessage(Role.USER, text),), 64)


async def pieces(model: ScriptedEngine, text: str = "Hello") -> list[str]:
    async with aclosing(model.generate(asking(text))) as events:
        return [event.text async for event in events if isinstance(event, TextGenerated)]


def test_a_token_is_a_word_with_the_space_before_it() -> None:
    assert asyncio.run(pieces(engine(ScriptedReply(text="one  two\nthree ")))) == ["one", "  two", "\nthree", " "]


@pytest.mark.parametrize("is_shown", [True, False])
@pytest.mark.parametrize(
    ("text", "number"),
    [("one two", 0), ("<think> a b </think> one two", 4), ("<think> a </think> one <think> b </think> two", 6)],
)
def test_thinking_tokens_are_counted_with_their_marks_whether_shown_or_not(
    text: str,
    number: int,
    is_shown: bool,  # noqa: FBT001
) -> None:
    async def play() -> GenerationFinished:
        request = replace(asking("Hello"), thinking=Thinking(enabled=is_shown))
        async with aclosing(engine(ScriptedReply(text=text)).generate(request)) as events:
            *_, finished = [event async for event in events]
        assert isinstance(finished, GenerationFinished)
        return finished

    usage = asyncio.run(play()).usage
    assert (usage.thinking_tokens, usage.output_tokens) == (number, len(text.split()) + 1)


def test_the_first_matching_reply_is_played() -> None:
    model = engine(ScriptedReply(when="cat", text="meow"), ScriptedReply(text="?"))
    assert asyncio.run(pieces(model, "a cat")) == ["meow"]
    assert asyncio.run(pieces(model, "a dog")) == ["?"]


def test_the_pace_does_not_drift() -> None:
    began = time.monotonic()
    asyncio.run(pieces(engine(ScriptedReply(text="a " * 9, prefill_seconds=0.1, seconds_per_token=0.02))))
    assert time.monotonic() - began >= 0.1 + 10 * 0.02


def test_a_reply_fails_after_the_scripted_number_of_tokens() -> None:
    with pytest.raises(GenerationError, match="script"):
        asyncio.run(pieces(engine(ScriptedReply(text="a b c", fail_after_tokens=2))))


def test_requests_over_the_maximum_are_refused() -> None:
    async def play() -> None:
        model = engine(ScriptedReply(seconds_per_token=1), max_active=1)
        async with aclosing(model.generate(asking("a"))) as events:
            await anext(events)
            with pytest.raises(OverloadedError):
                await anext(model.generate(asking("b")))

    asyncio.run(play())


@pytest.mark.parametrize(
    "content",
    ["[[reply]]\nsong = 1", "[server]\nsong = 1", "server = 3", "reply = 3", "reply = [3]", "reply = [", "\udcff"],
)
def test_an_unreadable_script_is_named_in_the_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "script.toml"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelLoadingError, match=r"script\.toml"):
        load_script(path)


def test_a_missing_script_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadingError, match=r"nothing\.toml"):
        load_script(tmp_path / "nothing.toml")


@pytest.mark.parametrize(("retry_after", "expected"), [(None, ValidationError), (9, OverloadedError)])
def test_a_request_is_refused_as_the_script_says(retry_after: int | None, expected: type[PensieveError]) -> None:
    reply = ScriptedReply(refuse_after_seconds=0.01, retry_after_seconds=retry_after)
    with pytest.raises(expected):
        asyncio.run(pieces(engine(reply)))


def test_a_script_says_how_long_its_server_waits(tmp_path: Path) -> None:
    path = tmp_path / "script.toml"
    path.write_text("[server]\nbody_seconds = 2", encoding="utf-8")
    assert load_script(path).server == ScriptedServer(body_seconds=2)
