"""A chat with a person at a terminal."""

from __future__ import annotations

import http.client
from typing import Any, Final

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from pensieve.cli.chat.conversation import FULL_WINDOW, Conversation
from pensieve.cli.chat.screen import Screen, note
from pensieve.cli.chat.slash_commands import COMMANDS, Chat, is_command, obey
from pensieve.cli.servers.http_client import RequestError, reason
from pensieve.models.files.home import home

_HISTORY_FILE: Final = "chat-history"
_TOO_LONG: Final = "prompt is too long"
"""What every server of this API says, and Claude Code reads."""
_BEGIN_AGAIN: Final = "/clear begins a new conversation"


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
            reply = f"the server does not answer: {reason(error)}"
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
        note(f"pensieve: {error}" + (f"; {_BEGIN_AGAIN}" if _TOO_LONG in str(error) else ""))
        return
    screen.end()
    if cut_off := state.conversation.cut_off(answer):
        note(f"({cut_off}; {_BEGIN_AGAIN})" if answer.stop_reason == FULL_WINDOW else f"({cut_off})")
    if state.is_verbose:
        note(answer.figures())


def _history() -> History:
    """In memory alone where the file cannot be used."""
    path = home() / _HISTORY_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        with path.open("r+b"):
            return FileHistory(str(path))
    except OSError as error:
        note(f"pensieve: what you write is not kept: {path}: {error.strerror}")
        return InMemoryHistory()


def _session() -> PromptSession[str]:
    return PromptSession(
        history=_history(),
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
