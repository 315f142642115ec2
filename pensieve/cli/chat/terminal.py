"""A chat with a person at a terminal."""

from __future__ import annotations

import http.client
from typing import Any, Final

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from pensieve.cli.chat.conversation import Conversation
from pensieve.cli.chat.screen import Screen, note
from pensieve.cli.chat.slash_commands import COMMANDS, Chat, is_command, obey
from pensieve.cli.servers.http_client import RequestError
from pensieve.models.files.home import home

_HISTORY_FILE: Final = "chat-history"


def chat(conversation: Conversation, *, is_verbose: bool) -> int:
    """Ask what the user writes until the chat is ended, and return the exit status."""
    state, session, screen = Chat(conversation, is_verbose), _session(), Screen()
    note(f"{conversation.model} at {conversation.client.url}; /help lists the commands, Ctrl-D ends the chat")
    while not state.has_ended:
        try:
            line = session.prompt("> ", prompt_continuation="  ").strip()
        except KeyboardInterrupt:
            note("Ctrl-D or /exit ends the chat")
            continue
        except EOFError:
            break
        _take(line, state, screen)
    return 0


def _take(line: str, state: Chat, screen: Screen) -> None:
    if is_command(line):
        try:
            reply = obey(line, state)
        except (OSError, http.client.HTTPException) as error:
            reply = f"the server does not answer: {error}"
        if reply:
            note(reply)
        line, state.again = state.again or "", None
    if line:
        _answer(line, state, screen)


def _answer(question: str, state: Chat, screen: Screen) -> None:
    try:
        answer = state.conversation.ask(question, screen.show)
    except KeyboardInterrupt:
        screen.end()
        note("(stopped)")
        return
    except RequestError as error:
        screen.end()
        note(f"pensieve: {error}")
        return
    screen.end()
    if answer.stop_reason == "max_tokens":
        note(f"(cut off at --max-tokens {state.conversation.max_tokens})")
    if state.is_verbose:
        note(answer.figures())


def _session() -> PromptSession[str]:
    path = home() / _HISTORY_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    return PromptSession(
        history=FileHistory(str(path)),
        completer=WordCompleter([f"/{name}" for name in COMMANDS], sentence=True),
        complete_while_typing=False,
        multiline=True,
        key_bindings=_keys(),
    )


def _keys() -> KeyBindings:
    """Enter sends, and Alt-Enter starts a new line; what is pasted keeps its lines."""
    keys = KeyBindings()

    def send(event: KeyPressEvent) -> Any:
        event.current_buffer.validate_and_handle()

    def new_line(event: KeyPressEvent) -> Any:
        event.current_buffer.insert_text("\n")

    keys.add("enter")(send)
    keys.add("escape", "enter")(new_line)
    keys.add("c-j")(new_line)
    return keys
