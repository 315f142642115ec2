"""Plays one fault against a server with two requests, and notes what everyone sees."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx

from contracts.values.vocabulary import BufferUsage
from features.harness.target.target import certificates
from pensieve.cli.serve.crashes import EXIT_SOFTWARE
from pensieve.cli.serve.shutdown import ServerLostError
from pensieve.cli.settings.settings import Settings
from pensieve.cli.wiring import ServerComponents, model_components
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.engine import Engine
from pensieve.engine.options import EngineOptions
from pensieve.engine.prompt_cache.open import CacheOptions
from pensieve.engine.scripted.script import Script, ScriptedReply
from pensieve.models.files.model_folder import ModelFolder
from pensieve.serving.served_model import ServedModel
from tests.engine.faults.fault import PLAIN, Fault, Kind, Stage
from tests.engine.faults.faulty_parts import load_with
from tests.support.running_server import running_server, settings_for
from tests.support.waiting import HUNG_SECONDS, wait_until

STREAM: Final = "the stream"
_SCRIPT: Final = Script(
    (
        ScriptedReply(when=STREAM, text=" word", repeat=80),
        ScriptedReply(when=PLAIN, text=" word", repeat=6),
        ScriptedReply(text="Yes."),
    )
)
_BEFORE_THE_REQUEST: Final = (Stage.RECEIVE, Stage.ADMIT, Stage.INSERT, Stage.PREFILL)
"""The other stages are struck while both requests are decoded."""
_STALL_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Observed:
    """One row of the table."""

    plain: str
    stream: str
    health: str
    log: str
    process: str


class _FirstError(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.message = "nothing"

    def emit(self, record: logging.LogRecord) -> None:
        if self.message == "nothing":
            self.message = _without_figures(record.getMessage().splitlines()[0].rstrip(":"))


class _Faulty:
    """The components of a server whose engine has the fault. `engine` is the last one that was started."""

    def __init__(self, folder: ModelFolder, fault: Fault) -> None:
        self.engine: Engine
        self.num_starts = 0
        self.may_reload = threading.Event()
        self._folder = folder
        self._fault = fault

    def components(self, settings: Settings) -> ServerComponents:
        parts = model_components(settings)
        memory = parts.memory
        assert isinstance(memory, DeviceMemory)
        stall_seconds = _STALL_SECONDS if self._fault.kind is Kind.HANG else HUNG_SECONDS
        options = EngineOptions(
            script=_SCRIPT, speculation=False, cache=CacheOptions(memory_bytes=2**24), stall_seconds=stall_seconds
        )

        async def start(_: str) -> ServedModel:
            self.num_starts += 1
            if self.num_starts > 1:  # the watch of /health has time to see the fault
                await asyncio.to_thread(self.may_reload.wait, HUNG_SECONDS)
            load = load_with(self._fault)
            self.engine = await Engine.start(self._folder, memory, parts.monitor, options, load=load)
            return self.engine

        return replace(parts, start=start)

    def is_the_plain_one_prefilled(self) -> bool:
        """For the MLX thread."""
        running = self.engine._loop.rows.running.values()
        return any(each.is_prefilling and PLAIN in each.ticket.prompt.request.messages[-1].text for each in running)

    def are_both_decoded(self) -> bool:
        """For the MLX thread."""
        running = self.engine._loop.rows.running.values()
        return len(running) == 2 and not any(each.is_prefilling for each in running)


class _HealthWatch:
    """Reads /health until the server has ended."""

    def __init__(self, url: str, on_fault: threading.Event) -> None:
        self.seen = dict[str, None]()
        self._url = url
        self._on_fault = on_fault

    def run(self, ended: threading.Event) -> None:
        with httpx.Client(base_url=self._url, timeout=HUNG_SECONDS, verify=certificates()) as client:
            while not ended.wait(0.1):
                with contextlib.suppress(httpx.TransportError):
                    self._note(client.get("/health"))

    def _note(self, answer: httpx.Response) -> None:
        health = answer.json()
        if health["status"] == "unhealthy":
            self.seen[f"{answer.status_code}: {_without_figures(health['reason'].partition(': ')[2])}"] = None
            self._on_fault.set()

    @property
    def summary(self) -> str:
        return "; ".join(self.seen) or "healthy"


def observe(folder: ModelFolder, stage: Stage, kind: Kind) -> Observed:
    fault = Fault(stage, kind)
    faulty = _Faulty(folder, fault)
    settings = settings_for(model=str(folder.path), cache_disk="0", cache_memory="0")
    first_error = _FirstError()
    logging.getLogger("pensieve").addHandler(first_error)
    exit_status = 0
    components = faulty.components(settings)
    try:
        with running_server(settings, components) as url:
            watch = _HealthWatch(url, faulty.may_reload)
            plain, stream, after = _play(url, faulty, fault, watch)
            if after == "200":  # whatever failed, its memory is released
                wait_until(lambda: not components.memory.reserved_bytes(BufferUsage.KV_CACHE))
    except ServerLostError:
        exit_status = EXIT_SOFTWARE
    finally:
        fault.release.set()
        faulty.engine._thread.join(HUNG_SECONDS)
        logging.getLogger("pensieve").removeHandler(first_error)
    process = _process(faulty.num_starts, exit_status)
    assert (after == "200") == (exit_status == 0), f"the next request got {after}, and the process {process}"
    return Observed(plain, stream, watch.summary, first_error.message, process)


def _process(num_starts: int, exit_status: int) -> str:
    loads = "loads the model again" if num_starts > 1 else ""
    end = f"exit status {exit_status}" if exit_status else ""
    return ", then ".join(each for each in (loads, end) if each) or "goes on"


def _play(url: str, faulty: _Faulty, fault: Fault, watch: _HealthWatch) -> tuple[str, str, str]:
    with (
        httpx.Client(base_url=url, timeout=HUNG_SECONDS, verify=certificates()) as client,
        _watching(watch),
        ThreadPoolExecutor(2) as threads,
    ):
        assert _answer(client, "Hello") == "200"
        has_text = threading.Event()
        stream = threads.submit(_stream, client, has_text)
        assert has_text.wait(HUNG_SECONDS)
        if fault.stage is Stage.PREFILL:
            fault.may_strike = faulty.is_the_plain_one_prefilled
        elif fault.stage not in _BEFORE_THE_REQUEST:
            fault.may_strike = faulty.are_both_decoded
        fault.armed = True
        if fault.stage is Stage.RECEIVE:
            faulty.engine._loop.mailbox.put(lambda: fault.at(Stage.RECEIVE))
        plain: Future[str] = threads.submit(_answer, client, PLAIN)
        return plain.result(HUNG_SECONDS), stream.result(HUNG_SECONDS), _next_answer(client)


@contextmanager
def _watching(watch: _HealthWatch) -> Iterator[None]:
    ended = threading.Event()
    thread = threading.Thread(target=watch.run, args=(ended,))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _body(text: str, max_tokens: int) -> dict[str, Any]:
    return {"model": "claude-any", "max_tokens": max_tokens, "messages": [{"role": "user", "content": text}]}


def _answer(client: httpx.Client, text: str) -> str:
    response = client.post("/v1/messages", json=_body(text, 100))
    if response.status_code == 200:
        return "200"
    retry_after = response.headers.get("retry-after")
    wait = f", retry-after {retry_after}" if retry_after else ""
    return f"{response.status_code} {response.json()['error']['type']}{wait}"


def _stream(client: httpx.Client, has_text: threading.Event) -> str:
    event: dict[str, Any] = {}
    with client.stream("POST", "/v1/messages", json={**_body(STREAM, 1000), "stream": True}) as response:
        for line in response.iter_lines():
            if line.startswith("data: "):
                event = json.loads(line[6:])
            if event.get("type") == "content_block_delta":
                has_text.set()
    return "is completed" if event["type"] == "message_stop" else f"error event, {event['error']['type']}"


def _next_answer(client: httpx.Client) -> str:
    """What a client gets that tries again for as long as it may."""
    answer, number = "nothing", itertools.count()

    def has_settled() -> bool:
        nonlocal answer
        try:
            answer = _answer(client, f"Are you there? {next(number)}")
        except httpx.TransportError:
            answer = "no connection"
        return answer in ("200", "no connection")

    wait_until(has_settled)
    return answer


def _without_figures(text: str) -> str:
    return re.sub(r"\d+(\.\d+)? (s\b|requests)", r"N \2", text)
