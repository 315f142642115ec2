"""Judges what a client's conversation showed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from tests.claude_code.recorder import Exchange
from tests.clients.client import Ended, Session
from tests.clients.conversation import CLOSE, CLOSES, LOG, OPENS, WRITTEN
from tests.clients.outcome import Outcome

_TOO_LONG = re.compile(r"prompt is too long: (\d+) tokens")


def judged(session: Session, window: int, exchanges: Sequence[Exchange], runs: Sequence[Ended]) -> Outcome:
    """The outcome of a conversation: what was sent, and how the client's commands ended."""
    client, version = session.client.name, session.installation.version
    messages = [exchange for exchange in exchanges if exchange.is_message]
    too_long = [found for exchange in exchanges if (found := _TOO_LONG.search(exchange.text))]
    if too_long and not messages:
        longest = max(int(found[1]) for found in too_long)
        return Outcome(client, version, window, prompt_tokens=longest, fits=False, note=shown_reason(runs))
    answered, stream, tool = _by_report(runs[0]) if session.client.program else _by_output(runs, messages)
    last = max(filter(_closes, messages), key=lambda exchange: exchange.prompt_tokens, default=None)
    return Outcome(
        client,
        version,
        window,
        plain=answered,
        stream=stream,
        tool=tool and session.log() == LOG,
        cached_share=last.cached_share if last and last.usage else None,
        prompt_tokens=last.prompt_tokens if last else 0,
        note=session.client.note,
    )


def shown_reason(runs: Sequence[Ended]) -> str:
    """The client's words about a prompt that is too long."""
    printed = re.sub(r"\\u([0-9a-f]{4})", lambda code: chr(int(code[1], 16)), f"{runs[0].output}\n{runs[0].errors}")
    found = re.search(r"(?i)[^\n\"{}—]*(?:too long|context)[^\n\"{}—]*", printed)
    return found[0].strip() if found else ""


def _by_report(ended: Ended) -> tuple[bool, bool, bool]:
    report = json.loads(ended.output.splitlines()[-1]) if ended.status == 0 else {}
    answered = (report.get("plain"), report.get("second")) == (OPENS, CLOSES)
    return answered, report.get("chunks", 0) > 5, report.get("tool") == WRITTEN


def _by_output(runs: Sequence[Ended], messages: Sequence[Exchange]) -> tuple[bool, bool, bool]:
    outputs = [ended.output for ended in runs] + [""] * 3
    streamed = [exchange for exchange in messages if exchange.request_json.get("stream")]
    is_read = bool(streamed) and all(exchange.is_complete for exchange in streamed)
    return OPENS in outputs[0] and CLOSES in outputs[2], is_read, WRITTEN in outputs[1]


def _closes(exchange: Exchange) -> bool:
    """Whether the request is the conversation's last turn. Clients also ask for titles and the like."""
    return CLOSE in json.dumps(exchange.request_json["messages"][-1])
