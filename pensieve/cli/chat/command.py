"""`pensieve run MODEL [PROMPT]` and `pensieve chat [MODEL]`."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from pensieve.cli.chat.conversation import DEFAULT_MAX_TOKENS, Conversation
from pensieve.cli.chat.screen import Screen, note
from pensieve.cli.chat.server import server_for
from pensieve.cli.launch.running_servers import LaunchError
from pensieve.cli.parser import EXIT_USAGE, argument_type
from pensieve.cli.servers.choice import add_address, key_of
from pensieve.cli.servers.http_client import RequestError, ServerClient
from pensieve.cli.settings.values import positive_int, sampling_parameter

_FAILED, _INTERRUPTED = 1, 130


def add_parsers(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the commands to `commands`. `run` takes the parsed arguments."""
    ask = commands.add_parser(
        "run",
        help="ask a model, or chat with it",
        usage="%(prog)s MODEL [PROMPT] [FLAGS]",
        description="Ask a model, and print its answer. Without a PROMPT, chat with it. What is piped in is added to "
        "the PROMPT: git diff | pensieve run MODEL 'Write a commit message'.",
        epilog="The answer comes from a server that runs and serves the model, else from one that is started for it.",
    )
    ask.add_argument("model", metavar="MODEL", help="the model, as in `pensieve serve`")
    ask.add_argument("prompt", metavar="PROMPT", nargs="*", default=(), help="the question")
    chat = commands.add_parser(
        "chat",
        help="chat in the terminal",
        usage="%(prog)s [MODEL] [FLAGS]",
        description="Chat with a model in the terminal. Enter sends, Alt-Enter starts a new line, Ctrl-C stops an "
        "answer, Ctrl-D ends the chat, and /help lists the commands.",
        epilog="The answer comes from a server that runs and serves the model, else from one that is started for it.",
    )
    chat.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help="the model (default: the running server's, or the default of `pensieve serve`)",
    )
    for parser in (ask, chat):
        _add_options(parser)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--system", metavar="TEXT", help="the system prompt")
    parser.add_argument(
        "--max-tokens",
        type=argument_type(positive_int),
        default=DEFAULT_MAX_TOKENS,
        metavar="N",
        help=f"the most tokens of an answer (default: {DEFAULT_MAX_TOKENS})",
    )
    parser.add_argument(
        "--temperature",
        type=argument_type(sampling_parameter("temperature")),
        metavar="N",
        help="0 for the likeliest tokens (default: the model's own)",
    )
    parser.add_argument("--think", action="store_true", help="let the model think first, if it can")
    parser.add_argument("--verbose", action="store_true", help="print tokens and times after each answer, to stderr")
    add_address(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    question = _question(arguments)
    if question is None and not sys.stdin.isatty():
        print("pensieve: nothing to ask; give a PROMPT, or text on the standard input", file=sys.stderr)
        return EXIT_USAGE
    try:
        conversation = _conversation(arguments)
        if question is None:
            from pensieve.cli.chat.terminal import chat  # noqa: PLC0415 - only for a person

            return chat(conversation, is_verbose=arguments.verbose)
        return _ask_once(conversation, question, is_verbose=arguments.verbose)
    except (LaunchError, RequestError) as error:
        note(f"pensieve: {error}")
        return _FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED


def _question(arguments: argparse.Namespace) -> str | None:
    """The words of the command line, then what is piped in; None if there is neither. Bytes that are not UTF-8, as in
    the diff of an old file, are replaced.
    """
    words = os.fsencode(" ".join(getattr(arguments, "prompt", ())))
    piped = b"" if sys.stdin.isatty() else sys.stdin.buffer.read()
    texts = [text.decode(errors="replace").strip() for text in (words, piped)]
    return "\n\n".join(text for text in texts if text) or None


def _conversation(arguments: argparse.Namespace) -> Conversation:
    server = server_for(arguments)
    options: dict[str, Any] = {} if arguments.temperature is None else {"temperature": arguments.temperature}
    if arguments.think:
        options["thinking"] = {"type": "adaptive"}
    client = ServerClient(server.url, key_of(arguments))
    return Conversation(client, server.model, arguments.system, arguments.max_tokens, options)


def _ask_once(conversation: Conversation, question: str, *, is_verbose: bool) -> int:
    screen = Screen()
    try:
        answer = conversation.ask(question, screen.show)
    finally:
        screen.end()
    if cut_off := conversation.cut_off(answer):
        note(f"pensieve: the answer was {cut_off}")
    if is_verbose:
        note(answer.figures())
    return 0
