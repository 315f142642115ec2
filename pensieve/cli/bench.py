"""`pensieve bench`: how fast a model answers on this machine, measured over HTTP as the gates do (U3)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from pensieve.cli.chat.conversation import Answer, Conversation
from pensieve.cli.chat.server import server_for
from pensieve.cli.launch.running_servers import LaunchError, RunningServer
from pensieve.cli.servers.choice import add_address, key_of
from pensieve.cli.servers.http_client import RequestError, ServerClient
from pensieve.cli.sizes import format_duration
from pensieve.cli.tables import table, terminal_width

_FAILED, _INTERRUPTED = 1, 130
_STORY: Final = "Write a long story about a lighthouse keeper and the sea."
_LINE: Final = "The keeper of the lighthouse wrote down every ship that passed, and the weather, and the hour. "
_NUM_LINES: Final = 27
"""About 512 tokens."""
_ROUNDS: Final = 3
_ANSWER_TOKENS: Final = 64
_NUM_CLIENTS: Final = 4


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` is in `unit`, "s" or "tokens/s"."""

    name: str
    value: float
    unit: str

    def shown(self) -> str:
        return format_duration(self.value) if self.unit == "s" else f"{self.value:.1f} {self.unit}"


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to `commands`. `run` takes the parsed arguments."""
    parser = commands.add_parser(
        "bench",
        help="measure how fast a model answers on this machine",
        usage="%(prog)s [MODEL] [FLAGS]",
        description="Measure how fast a model answers on this machine, through the server, as a client sees it. What "
        "else runs meanwhile makes it slower.",
        epilog="The answers come from a server that runs and serves the model, else from one that is started for it.",
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help="the model (default: the running server's, or the default of `pensieve serve`)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with times in seconds")
    add_address(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    try:
        server = server_for(arguments)
        bench = Bench(server, key_of(arguments))
        figures = []
        for figure in bench.figures():
            print(f"pensieve: {figure.name}: {figure.shown()}", file=sys.stderr, flush=True)
            figures.append(figure)
    except (LaunchError, RequestError) as error:
        print(f"pensieve: {error}", file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED
    if arguments.json:
        measured = {figure.name: {"value": round(figure.value, 4), "unit": figure.unit} for figure in figures}
        print(json.dumps({"model": server.model, "figures": measured}, indent=1))
    else:
        rows = [(figure.name, figure.shown()) for figure in figures]
        print("\n".join(table((server.model.upper(), "MEDIAN"), rows, right=("MEDIAN",), width=terminal_width())))
    return 0


class Bench:
    """Measures one figure after the other. Each prompt is new to the prompt cache, unless it is meant to be in it."""

    def __init__(self, server: RunningServer, api_key: str | None) -> None:
        self._client = ServerClient(server.url, api_key)
        self._model = server.model
        self._numbers = count()

    def figures(self) -> Iterator[Figure]:
        """
        Raises:
            RequestError: the server refuses a request, or does not answer.
        """
        self._ask(self._new(_STORY), 2)  # not measured: the first answer may load the model
        short = [self._ask(self._new(_STORY), _ANSWER_TOKENS) for _ in range(_ROUNDS)]
        yield Figure("first token of a short prompt", _median(_first(each) for each in short), "s")
        speeds = [speed for each in short if (speed := _speed(each)) is not None]
        if speeds:
            yield Figure("one answer", _median(speeds), "tokens/s")
        yield from self._long_prompts()
        yield Figure(f"{_NUM_CLIENTS} answers at once", self._speed_together(), "tokens/s")

    def _long_prompts(self) -> Iterator[Figure]:
        prompts = [self._new(_LINE * _NUM_LINES) for _ in range(_ROUNDS)]
        cold = [self._ask(prompt, 2) for prompt in prompts]
        warm = [self._ask(prompt, 2) for prompt in prompts]
        name = f"first token of {_prompt_tokens(cold[0])} tokens"
        yield Figure(name, _median(_first(each) for each in cold), "s")
        yield Figure(f"{name}, from the prompt cache", _median(_first(each) for each in warm), "s")

    def _speed_together(self) -> float:
        prompts = [self._new(_STORY) for _ in range(_NUM_CLIENTS)]
        with ThreadPoolExecutor(_NUM_CLIENTS) as clients:
            answers = list(clients.map(lambda prompt: self._ask(prompt, _ANSWER_TOKENS), prompts))
        return sum(each.usage["output_tokens"] for each in answers) / max(each.seconds for each in answers)

    def _new(self, text: str) -> str:
        """Begins with a number, so that it shares no prefix with another."""
        return f"{next(self._numbers)}. {text}"

    def _ask(self, prompt: str, max_tokens: int) -> Answer:
        conversation = Conversation(self._client, self._model, None, max_tokens, {"temperature": 0})
        return conversation.ask(prompt, lambda _kind, _text: None)


def _first(answer: Answer) -> float:
    return answer.first_token_seconds if answer.first_token_seconds is not None else answer.seconds


def _speed(answer: Answer) -> float | None:
    """Tokens/s after the first one; None if there are too few to tell."""
    num_tokens, seconds = answer.usage["output_tokens"] - 1, answer.seconds - _first(answer)
    return num_tokens / seconds if num_tokens > 1 and seconds > 0 else None


def _prompt_tokens(answer: Answer) -> int:
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return sum(answer.usage.get(name, 0) for name in names)


def _median(values: Iterator[float] | list[float]) -> float:
    import statistics  # noqa: PLC0415 - not needed for other commands

    return statistics.median(values)
