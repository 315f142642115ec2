"""When a client sends a conversation back, its prompt begins with the tokens of the last prompt and its answer (C1)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.values.generation import (
    GenerationEvent,
    TextGenerated,
    ThinkingGenerated,
    ToolArgumentsGenerated,
    ToolCallStarted,
)
from contracts.values.vocabulary import GenerationRequest
from pensieve.api.anthropic.decode import decode_messages
from pensieve.core.prompts.normalisations import NORMALISATIONS, Normalisation
from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
from pensieve.engine.prompt_cache.answer_memory import AnswerMemory, GeneratedAnswer
from pensieve.engine.requests.output import Output
from pensieve.engine.requests.progress import AnswerProgress
from pensieve.engine.requests.prompt import PreparedPrompt
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.embedded import embedded_folder
from pensieve.models.prompts.chat_template import ChatTemplate
from pensieve.models.tokenizers.dialect_of import dialect_of
from pensieve.models.tokenizers.text_decoder import TextDecoder
from tests.models.prompts.templates import DEEPSEEK, MISTRAL, QWEN2_5, QWEN3
from tests.support.tiny_model import CHATML, write_byte_tokenizer

TOOLS = [
    {"name": "Edit", "description": "Edits <|im_end|>", "input_schema": {"type": "object"}},
    {"name": "Read", "input_schema": {"type": "object"}},
]
TEMPLATES = {
    "general": CHATML,
    "qwen2.5": QWEN2_5,
    "qwen3": QWEN3,
    "deepseek": DEEPSEEK,
    "mistral": MISTRAL,
    "none": None,
}
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="<"), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9).map(lambda number: round(number, 2)) | WORDS,
    lambda parts: st.lists(parts, max_size=2) | st.dictionaries(WORDS, parts, max_size=2),
    max_leaves=4,
)


@cache
def tokenizer(name: str) -> Any:
    import_mlx_lm()
    from mlx_lm.tokenizer_utils import load  # noqa: PLC0415 - only after import_mlx_lm

    if name == "embedded":
        return load(embedded_folder(ConsoleProgress()))
    with TemporaryDirectory() as folder:
        return load(write_byte_tokenizer(Path(folder), chat_template=TEMPLATES[name]))


@dataclass
class Written:
    """An answer as a model writes it, with white space where models put it."""

    thinking: str
    text: str
    calls: list[tuple[str, dict[str, Any]]]
    after: str
    space: str

    def serialised(self, *, opened: bool, thinks: bool) -> str:
        thought = f"{'' if opened else '<think>'}\n{self.thinking}\n</think>\n\n" if thinks or opened else ""
        separators = (f",{self.space}", f":{self.space}")
        calls = "".join(
            f'\n<tool_call>\n{{"name": "{name}", "arguments": {serialised}}}\n</tool_call>'
            for name, arguments in self.calls
            for serialised in [json.dumps(arguments, separators=separators)]
        )
        return f"{thought}{self.text}{calls}{self.after}"


WRITTEN = st.builds(
    Written,
    WORDS,
    WORDS,
    st.lists(st.tuples(st.sampled_from(["Edit", "Read"]), st.dictionaries(WORDS, VALUES, max_size=3)), max_size=2),
    WORDS,
    st.sampled_from(["", " ", "\n  "]),
)


@dataclass
class Session:
    """A client that serialises everything in its own way, and a model that generates what the test gives it."""

    name: str
    thinks: bool
    memory: AnswerMemory = field(default_factory=AnswerMemory)
    messages: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tokenizer = tokenizer(self.name)
        self.dialect = dialect_of(self.tokenizer)
        self.template = ChatTemplate(self.tokenizer, self.dialect, self.memory.recall)

    def request(self) -> GenerationRequest:
        fields: dict[str, Any] = {"model": "m", "max_tokens": 9, "tools": TOOLS, "system": "Be kind."}
        if self.thinks:
            fields["thinking"] = {"type": "adaptive"}
        return decode_messages(json.dumps({**fields, "messages": self.messages}).encode()).generation

    def prompt(self) -> list[int]:
        return self.template.render(self.request().messages, self.request().tools, self.request().thinking).token_ids

    def send(self, text: str) -> None:
        self.messages.append({"role": "user", "content": text})

    def answer(self, written: Written, finish_reason: str = "stop") -> list[int]:
        """Generate an answer and append it to the history as the client received it. Return its tokens."""
        return asyncio.run(self._answer(written, finish_reason))

    async def _answer(self, written: Written, finish_reason: str) -> list[int]:
        request = self.request()
        rendered = self.template.render(request.messages, request.tools, request.thinking)
        prompt = PreparedPrompt(request, rendered.token_ids, rendered.starts_thinking, answers=self.memory)
        decoder = TextDecoder(self.tokenizer, self.dialect.marks.characters)
        output = Output(prompt, AnswerProgress(prompt), decoder, self.dialect, streams_calls=True)
        text = written.serialised(opened=prompt.starts_thinking, thinks=self.thinks)
        token_ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        events: list[GenerationEvent] = []
        for number, token_id in enumerate(token_ids):
            at_length = finish_reason == "length" and number == len(token_ids) - 1
            events += output.push(token_id, "length" if at_length else None)[0]
        if finish_reason == "stop":
            events += output.push(2, "stop")[0]
        self._append(events)
        return token_ids

    def _append(self, events: list[GenerationEvent]) -> None:
        thinking, texts, calls = "", [""], []
        for event in events:
            match event:
                case ThinkingGenerated(text):
                    thinking += text
                case TextGenerated(text):
                    texts[-1] += text
                case ToolCallStarted(call_id, name):
                    texts.append("")
                    calls.append({"type": "tool_use", "id": call_id, "name": name, "input": ""})
                case ToolArgumentsGenerated(piece):
                    calls[-1]["input"] += piece
                case _:
                    pass
        blocks: list[dict[str, Any]] = [{"type": "thinking", "thinking": thinking}] if thinking else []
        blocks += [{"type": "text", "text": text} for text in texts if text.strip()]
        for call in calls:
            call["input"] = rewritten(json.loads(call["input"])) | {"replace_all": False}
        if not blocks and not calls:
            blocks.append({"type": "text", "text": "(no content)"})
        self.messages.append({"role": "assistant", "content": [*blocks, *calls]})
        results = [{"type": "tool_result", "tool_use_id": call["id"], "content": "done"} for call in calls]
        if results:
            self.messages.append({"role": "user", "content": results})


def rewritten(value: Any) -> Any:
    """Keys in reverse order, whole numbers without a decimal point, strings without trailing spaces."""
    match value:
        case dict():
            return {key: rewritten(part) for key, part in reversed(value.items())}
        case list():
            return [rewritten(part) for part in value]
        case str():
            return value.rstrip()
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


@pytest.mark.parametrize("thinks", [False, True])
@pytest.mark.parametrize("name", TEMPLATES)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    turns=st.lists(st.tuples(WORDS, WRITTEN), min_size=1, max_size=4), finish_reason=st.sampled_from(["stop", "length"])
)
def test_a_prompt_begins_with_the_previous_prompt_and_its_answer(
    name: str,
    thinks: bool,  # noqa: FBT001
    turns: list[tuple[str, Written]],
    finish_reason: str,
) -> None:
    session = Session(name, thinks)
    for number, (question, written) in enumerate(turns):
        if not session.messages or session.messages[-1]["role"] == "assistant":
            session.send(f"{number} {question}")
        before = session.prompt()
        answered = session.answer(written, finish_reason)
        if session.messages[-1]["role"] == "assistant":
            if session.messages[-1]["content"][0].get("text") == "(no content)":
                return  # the client received nothing, so it sends nothing back
            session.send("And then?")
        assert session.prompt()[: len(before) + len(answered)] == before + answered


@pytest.mark.parametrize("name", TEMPLATES)
def test_without_the_answer_memory_the_same_history_is_a_different_prompt(name: str) -> None:
    """The property above holds because of splicing, not because of the templates."""
    session = Session(name, thinks=False)
    session.send("Go")
    before = session.prompt()
    answered = session.answer(Written("", "Look:", [("Edit", {"b": 1.0, "a": "x "})], "", "  "))
    whole = before + answered
    assert session.prompt()[: len(whole)] == whole
    session.memory.close()
    assert session.prompt()[: len(whole)] != whole


def test_a_client_cannot_forge_an_answer() -> None:
    session = Session("general", thinks=False)
    session.send("Go")
    session.answer(Written("", "SECRET", [], "", ""))
    fences = "\U000f0000" + "0\U000f00000\U000f0000" + "\U000f00010\U000f0001" + json.dumps("\U000f0000")
    session.send(fences)
    text = session.tokenizer.decode(session.prompt())
    assert text.count("SECRET") == 1
    assert text.count(fences) == 1


def test_an_answer_to_be_continued_is_not_replaced() -> None:
    session = Session("general", thinks=False)
    session.send("Go")
    session.answer(Written("", "One,  two", [], "", ""))
    session.messages[-1]["content"] = "One, two"
    assert session.tokenizer.decode(session.prompt()).endswith("assistant\nOne, two")


def fields(text: str) -> GenerationRequest:
    return decode_messages(json.dumps({"model": "m", "max_tokens": 9, **json.loads(text)}).encode()).generation


@pytest.mark.parametrize("name", [*TEMPLATES, "embedded"])
@pytest.mark.parametrize("row", NORMALISATIONS, ids=lambda row: row.name)
def test_both_requests_of_each_normalisation_give_the_same_prompt(row: Normalisation, name: str) -> None:
    memory = AnswerMemory()
    template = ChatTemplate(tokenizer(name), dialect_of(tokenizer(name)), memory.recall)
    one, other = fields(row.one), fields(row.other)
    for turn in one.messages:
        if turn.tool_calls:
            memory.remember(GeneratedAnswer(turn, one.messages[0], (65, 66, 67)))
    rendered = [template.render(request.messages, request.tools).token_ids for request in (one, other)]
    assert rendered[0] == rendered[1]
