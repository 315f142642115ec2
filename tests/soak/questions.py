"""Requests at temperature 0 whose answers are the same every time, and what came back for one of them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx

from perf_gates.measuring.measures import LINE

Json = dict[str, Any]

SUBJECTS: Final = ("the sea", "a lighthouse", "winter", "bread", "an old map", "the moon", "a bridge", "rain")
WEATHER: Final[Json] = {
    "name": "weather",
    "description": "The weather of a place.",
    "input_schema": {
        "type": "object",
        "properties": {"place": {"enum": ["Oslo", "Rome", "Lima"]}, "unit": {"enum": ["C", "F"]}},
        "required": ["place", "unit"],
        "additionalProperties": False,
    },
}


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    name: str
    body: Mapping[str, Any]

    def limited_to(self, max_tokens: int) -> Question:
        return replace(self, body={**self.body, "max_tokens": max_tokens})


@dataclass(frozen=True, slots=True)
class Answer:
    """`content` is the JSON of the blocks, whether they came in a stream or whole."""

    content: str
    stop_reason: str

    def starts_with(self, other: Answer) -> bool:
        """Whether the other answer is this one, cut off earlier. A character that was cut in two does not count."""
        return self._text().startswith(other._text().rstrip("\ufffd"))

    def _text(self) -> str:
        return "".join(block.get("text", "") for block in json.loads(self.content))


class BrokenStreamError(Exception):
    """A stream ended with an error event, or without `message_stop`."""


def question(name: str, model: str, text: str, max_tokens: int, **fields: Any) -> Question:
    messages = [{"role": "user", "content": text}]
    return Question(name, {"model": model, "max_tokens": max_tokens, "temperature": 0, "messages": messages, **fields})


def questions_for(model: str, max_tokens: int, long_repeats: int, num_subjects: int = len(SUBJECTS)) -> list[Question]:
    """Short and long prompts, a conversation, a forced call and structured output. A line of a prompt has 19 tokens."""
    texts = {subject: f"Tell me about {subject}." for subject in SUBJECTS[:num_subjects]}
    found = [question(f"{model}: {subject}", model, text, max_tokens) for subject, text in texts.items()]
    found += [
        question(f"{model}: long {number}", model, f"Log {number}. {LINE * repeats}What now?", max_tokens)
        for number, repeats in enumerate((long_repeats // 4, long_repeats // 2, long_repeats))
    ]
    turns = [("user", "Hello."), ("assistant", "Hello! How can I help?"), ("user", "Name three colours.")]
    conversation: list[Json] = [{"role": role, "content": text} for role, text in turns]
    found += [
        question(f"{model}: conversation", model, "", max_tokens, messages=conversation, system="Be brief."),
        question(
            f"{model}: call",
            model,
            "How is it in Rome?",
            100,
            tools=[WEATHER],
            tool_choice={"type": "any", "disable_parallel_tool_use": True},
        ),
        question(
            f"{model}: structured",
            model,
            "Is it raining?",
            60,
            output_config={"format": {"type": "json_schema", "schema": new_schema(random.Random(7))}},  # noqa: S311
        ),
    ]
    return found


def new_schema(rng: random.Random) -> Json:
    """An object of a few enums, with names that no other schema has."""
    names = [f"field_{rng.getrandbits(48):x}" for _ in range(rng.randint(1, 6))]
    properties = {name: {"enum": [f"{name[-4:]}{number}" for number in range(rng.randint(1, 5))]} for name in names}
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


def ask(client: httpx.Client, item: Question, *, stream: bool = False) -> Answer:
    """Ask, and read the whole answer.

    Raises:
        httpx.HTTPError: the server refused or did not answer.
        BrokenStreamError: the stream ended early.
    """
    if not stream:
        response = client.post("/v1/messages", json=dict(item.body))
        response.raise_for_status()
        return _answer(response.json())
    with client.stream("POST", "/v1/messages", json={**item.body, "stream": True}) as response:
        if response.is_error:
            response.read()
        response.raise_for_status()
        return _answer(_message(events(response)))


def ask_openai(client: httpx.Client, item: Question) -> str:
    """The text of the same question by OpenAI's API.

    Raises:
        httpx.HTTPError: the server refused or did not answer.
    """
    names = ("model", "max_tokens", "temperature", "messages")
    response = client.post("/v1/chat/completions", json={name: item.body[name] for name in names})
    response.raise_for_status()
    return str(response.json()["choices"][0]["message"]["content"] or "")


def events(response: httpx.Response) -> Iterator[Json]:
    for line in response.iter_lines():
        if line.startswith("data: "):
            yield json.loads(line[6:])


def _message(stream: Iterator[Json]) -> Json:
    message: Json = {"content": []}
    for event in stream:
        match event["type"]:
            case "content_block_start":
                message["content"].append({**event["content_block"], "partial": ""})
            case "content_block_delta":
                _append(message["content"][event["index"]], event["delta"])
            case "message_delta":
                message["stop_reason"] = event["delta"]["stop_reason"]
            case "message_stop":
                return message
            case "error":
                raise BrokenStreamError(json.dumps(event["error"]))
    raise BrokenStreamError("the stream ended without message_stop")


def _append(block: Json, delta: Json) -> None:
    if delta["type"] == "text_delta":
        block["text"] += delta["text"]
    elif delta["type"] == "input_json_delta":
        block["partial"] += delta["partial_json"]


def _answer(message: Json) -> Answer:
    blocks = [_plain(block) for block in message["content"]]
    return Answer(json.dumps(blocks), str(message["stop_reason"]))


def _plain(block: Json) -> Json:
    """A block without its id, with the input of a call as it is decoded."""
    if block["type"] != "tool_use":
        return {"type": block["type"], "text": block.get("text", "")}
    return {"type": "tool_use", "name": block["name"], "input": _input(block)}


def _input(block: Json) -> Any:
    if not block.get("partial"):
        return block["input"]
    try:
        return json.loads(block["partial"])
    except json.JSONDecodeError:
        return block["partial"]
