"""The date that a template writes into a prompt: the day on which the conversation began.

Today's date would change at midnight near the start of the prompt, and invalidate the cache for the whole conversation.
Templates that Transformers renders (on the first start with a folder, or for tokenizers with custom code) still read
the clock, because Transformers does not pass functions to a template.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from contracts.values.vocabulary import ChatMessage, Role

MAX_CONVERSATIONS: Final = 4096


class ConversationDates:
    """Dates of the most recently used conversations, in memory only: a restart forgets them. Any thread may use it."""

    def __init__(self, clock: Callable[[], datetime] = datetime.now) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._by_conversation: OrderedDict[bytes, datetime] = OrderedDict()

    def date_of(self, messages: Sequence[ChatMessage], namespace: str = "") -> datetime:
        """The system text and the first user turn identify a conversation of a namespace."""
        key = _digest(messages, namespace)
        with self._lock:
            date = self._by_conversation.setdefault(key, self._clock())
            self._by_conversation.move_to_end(key)
            if len(self._by_conversation) > MAX_CONVERSATIONS:
                self._by_conversation.popitem(last=False)
        return date


def _digest(messages: Sequence[ChatMessage], namespace: str) -> bytes:
    digest = hashlib.sha256(namespace.encode())
    for message in messages:
        digest.update(f"\0{message.role.value}\0{message.text}".encode("utf-8", "replace"))
        if message.role is Role.USER:
            break
    return digest.digest()
