"""The /commands of a chat."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pensieve.cli.chat.conversation import Conversation
from pensieve.cli.parser import nearest_word
from pensieve.models.library.user_path import user_path

_COMMAND: Final = re.compile(r"/([a-z?]+)(?:\s+(.*))?", re.DOTALL | re.IGNORECASE)
_SYNONYMS: Final = {
    "bye": "exit",
    "quit": "exit",
    "q": "exit",
    "?": "help",
    "h": "help",
    "new": "clear",
    "reset": "clear",
}


@dataclass(slots=True)
class Chat:
    """What the commands change. `again` is a question to ask now."""

    conversation: Conversation
    is_verbose: bool = False
    has_ended: bool = False
    again: str | None = None


def is_command(line: str) -> bool:
    """A path such as /usr/bin begins a question."""
    return _COMMAND.fullmatch(line.strip()) is not None


def obey(line: str, chat: Chat) -> str:
    """Carry out the command, and return what to print."""
    match = _COMMAND.fullmatch(line.strip())
    assert match is not None, "checked by is_command"  # noqa: S101
    name = _SYNONYMS.get(match[1].lower(), match[1].lower())
    if name not in COMMANDS:
        nearest = nearest_word(name, COMMANDS)
        return f"no command /{match[1]}; " + (f"did you mean /{nearest}?" if nearest else "/help lists them")
    return COMMANDS[name].action(chat, (match[2] or "").strip())


@dataclass(frozen=True, slots=True)
class SlashCommand:
    words: str
    sentence: str
    action: Callable[[Chat, str], str]


def _help(chat: Chat, _: str) -> str:  # noqa: ARG001 - every command has the same parameters
    width = max(len(command.words) for command in COMMANDS.values())
    lines = [f"  {command.words:<{width}}  {command.sentence}" for command in COMMANDS.values()]
    keys = ["Enter sends, Alt-Enter starts a new line, Up recalls what you wrote.", "Ctrl-C stops an answer."]
    return "\n".join([*lines, " ".join(keys)])


def _clear(chat: Chat, _: str) -> str:
    chat.conversation.messages.clear()
    return "The conversation is empty."


def _system(chat: Chat, text: str) -> str:
    if text:
        chat.conversation.system = None if text == "none" else text
    return f"The system prompt is {chat.conversation.system!r}." if chat.conversation.system else "No system prompt."


def _model(chat: Chat, name: str) -> str:
    if name:
        _, listed = chat.conversation.client.get("/v1/models?limit=1000")
        names = [str(entry["id"]) for entry in listed.get("data", [])]
        if name not in names:
            return f"This server has {', '.join(names)}, not {name}."
        chat.conversation.model = name
    return f"The model is {chat.conversation.model}."


def _think(chat: Chat, word: str) -> str:
    options = chat.conversation.options
    if word == "on":
        options["thinking"] = {"type": "adaptive"}
    elif word == "off":
        options["thinking"] = {"type": "disabled"}
    elif word:
        return "Write /think on or /think off."
    return f"Thinking is {'on' if options.get('thinking', {}).get('type') == 'adaptive' else 'off'}."


def _retry(chat: Chat, _: str) -> str:
    chat.again = chat.conversation.forget_last()
    return "" if chat.again is not None else "There is nothing to ask again."


def _stats(chat: Chat, _: str) -> str:
    chat.is_verbose = not chat.is_verbose
    return f"Tokens and times are {'shown' if chat.is_verbose else 'hidden'}."


def _save(chat: Chat, name: str) -> str:
    if not name:
        return "Write /save FILE."
    path = user_path(name)
    saved = {"system": chat.conversation.system, "messages": chat.conversation.messages}
    try:
        path.write_text(json.dumps(saved, indent=1, ensure_ascii=False), encoding="utf-8")
    except (OSError, ValueError) as error:  # ValueError: a null character
        return f"{path} cannot be written: {getattr(error, 'strerror', error)}"
    return f"Saved {len(chat.conversation.messages)} messages to {path}."


def _exit(chat: Chat, _: str) -> str:
    chat.has_ended = True
    return ""


COMMANDS: Final[Mapping[str, SlashCommand]] = {
    "help": SlashCommand("/help", "this list", _help),
    "clear": SlashCommand("/clear", "begin a new conversation", _clear),
    "retry": SlashCommand("/retry", "ask the last question again", _retry),
    "system": SlashCommand("/system [TEXT]", "show or set the system prompt; none removes it", _system),
    "model": SlashCommand("/model [NAME]", "show or change the model of this server", _model),
    "think": SlashCommand("/think [on|off]", "show or set whether the model thinks first", _think),
    "stats": SlashCommand("/stats", "show or hide tokens and times", _stats),
    "save": SlashCommand("/save FILE", "write the conversation to a JSON file", _save),
    "exit": SlashCommand("/exit", "end the chat, as Ctrl-D does", _exit),
}
