"""The clients of a soak. Each function is one request of a kind; a client runs one after the other until the end."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Final

import httpx
import jsonschema

from perf_gates.measuring.measures import LINE
from tests.soak.questions import Answer, Json, Question, ask, ask_openai, events, new_schema, question
from tests.soak.record import Record
from tests.soak.server import Server

# ruff: noqa: S311 - random numbers choose requests


class Pause:
    """Lets requests pass until it is closed, and then waits until none is inside."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_closed, self._num_inside = False, 0

    @contextmanager
    def request(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._is_closed)
            self._num_inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._num_inside -= 1
                self._changed.notify_all()

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """No request runs within the block."""
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: self._num_inside == 0)
        try:
            yield
        finally:
            with self._changed:
                self._is_closed = False
                self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class Scene:
    """What a client knows: its server, and the answers that the idle server gave."""

    server: Server
    record: Record
    expected: Mapping[Question, Answer]
    pause: Pause
    over: threading.Event

    def of(self, model: str) -> Sequence[Question]:
        return [each for each in self.expected if each.body["model"] == model]

    def compare(self, kind: str, item: Question, actual: Answer) -> None:
        expected = self.expected[item]
        is_right = (actual.content, actual.stop_reason) == (expected.content, expected.stop_reason)
        self.record.compare(kind, item.name, expected, actual, is_right=is_right)


ONE_CALL = {"type": "any", "disable_parallel_tool_use": True}
Request = Callable[[Scene, str, random.Random], None]


def plain(scene: Scene, model: str, rng: random.Random) -> None:
    item = rng.choice(scene.of(model))
    scene.compare("plain", item, ask(scene.server.client, item))


def stream(scene: Scene, model: str, rng: random.Random) -> None:
    item = rng.choice(scene.of(model))
    scene.compare("stream", item, ask(scene.server.client, item, stream=True))


def shorter(scene: Scene, model: str, rng: random.Random) -> None:
    """Another `max_tokens`: the answer is the beginning of the known one."""
    item = rng.choice(
        [each for each in scene.of(model) if "tools" not in each.body and "output_config" not in each.body]
    )
    known = scene.expected[item]
    actual = ask(scene.server.client, item.limited_to(rng.randint(1, item.body["max_tokens"])))
    scene.record.compare("shorter", item.name, known, actual, is_right=known.starts_with(actual))


def new_length(scene: Scene, model: str, rng: random.Random) -> None:
    """A prompt that was never sent, sent twice: the second answer comes from the prompt cache, and is the same."""
    text = f"{rng.getrandbits(32)} {LINE * 40}"[: rng.randint(20, 3000)]
    item = question(f"{model}: {len(text)} characters", model, text, 8)
    first, second = (ask(scene.server.client, item) for _ in range(2))
    scene.record.compare("new length", item.name, first, second, is_right=first.content == second.content)


def cancel(scene: Scene, model: str, rng: random.Random) -> None:
    item = rng.choice(scene.of(model))
    with scene.server.client.stream("POST", "/v1/messages", json={**item.body, "stream": True}) as response:
        response.raise_for_status()
        for _ in islice(events(response), rng.randint(0, 12)):
            pass
    scene.record.count("cancel", "right")


def new_tool(scene: Scene, model: str, rng: random.Random) -> None:
    """A call of a tool whose schema was never sent before: its input meets the schema."""
    schema = new_schema(rng)
    tool = {"name": f"tool_{rng.getrandbits(32):x}", "input_schema": schema}
    item = question("new tool", model, "Call it.", 400, tools=[tool], tool_choice=ONE_CALL)
    actual = ask(scene.server.client, item, stream=bool(rng.getrandbits(1)))
    call = json.loads(actual.content)[-1]
    is_right = call.get("name") == tool["name"] and _meets(call["input"], schema)
    scene.record.compare("new tool", json.dumps(schema), actual, actual, is_right=is_right)


def new_format(scene: Scene, model: str, rng: random.Random) -> None:
    schema = new_schema(rng)
    item = question(
        "new format", model, "Answer.", 400, output_config={"format": {"type": "json_schema", "schema": schema}}
    )
    actual = ask(scene.server.client, item)
    is_right = _meets(json.loads(json.loads(actual.content)[-1]["text"]), schema)
    scene.record.compare("new format", json.dumps(schema), actual, actual, is_right=is_right)


def openai(scene: Scene, model: str, rng: random.Random) -> None:
    item = rng.choice(
        [each for each in scene.of(model) if set(each.body) <= {"model", "max_tokens", "temperature", "messages"}]
    )
    known = scene.expected[item]
    text = json.dumps([{"type": "text", "text": ask_openai(scene.server.client, item)}])
    scene.record.compare("openai", item.name, known, Answer(text, ""), is_right=text == known.content)


def refused(scene: Scene, model: str, rng: random.Random) -> None:
    """A request that is wrong, and gets a 400 each time."""
    wrongs: list[dict[str, object]] = [
        {"max_tokens": -1},
        {"messages": []},
        {"temperature": 9},
        {"tools": [{"name": ""}]},
    ]
    wrong = rng.choice(wrongs)
    response = scene.server.client.post("/v1/messages", json={**rng.choice(scene.of(model)).body, **wrong})
    if response.status_code != 400:
        response.raise_for_status()
    reply = Answer(response.text, str(response.status_code))
    scene.record.compare("refused", str(wrong), Answer("", "400"), reply, is_right=response.status_code == 400)


def count(scene: Scene, model: str, rng: random.Random) -> None:
    item = rng.choice(scene.of(model))
    body = {key: value for key, value in item.body.items() if key not in ("max_tokens", "temperature", "output_config")}
    response = scene.server.client.post("/v1/messages/count_tokens", json=body)
    response.raise_for_status()
    scene.record.count("count", "right")


def _meets(value: object, schema: Mapping[str, object]) -> bool:
    try:
        jsonschema.validate(value, dict(schema))
    except jsonschema.ValidationError:
        return False
    return True


KINDS: Mapping[Request, int] = {
    stream: 6,
    plain: 4,
    cancel: 3,
    shorter: 2,
    new_length: 2,
    new_tool: 2,
    new_format: 1,
    openai: 1,
    refused: 1,
    count: 1,
}
"""Each kind of request, and its weight among all."""


def run_client(scene: Scene, models: Sequence[str], seed: int, pause_seconds: float) -> None:
    """Send one request after the other, for one of the models each, with a pause in between."""
    rng = random.Random(seed)
    kinds, weights = list(KINDS), list(KINDS.values())
    while not scene.over.is_set():
        if not scene.server.is_up:
            scene.over.wait(1)
            continue
        (request,) = rng.choices(kinds, weights)
        with scene.pause.request(), scene.record.outcome_of(request.__name__, scene.server):
            request(scene, rng.choice(models), rng)
        scene.over.wait(rng.uniform(0, 2 * pause_seconds))


NUM_SCHEMAS: Final = 100
NUM_TEXTS: Final = 300
TEXT_CHARACTERS: Final = 8_000
"""Few enough tokens for the windows of all models."""


def fill_memos(client: httpx.Client, model: str) -> None:
    """Fill what the server remembers of texts, schemas and grammars, which is bounded: each is one that was never sent.

    Raises:
        httpx.HTTPError: the server refused or did not answer.
    """
    rng = random.Random(model)
    for _ in range(NUM_SCHEMAS):
        output = {"format": {"type": "json_schema", "schema": new_schema(rng)}}
        body = dict(question("", model, "Answer.", 1, output_config=output).body)
        client.post("/v1/messages", json=body).raise_for_status()
    for _ in range(NUM_TEXTS):
        text = f"{rng.getrandbits(4 * TEXT_CHARACTERS):x}"
        messages: list[Json] = [{"role": "user", "content": text}]
        client.post("/v1/messages/count_tokens", json={"model": model, "messages": messages}).raise_for_status()
