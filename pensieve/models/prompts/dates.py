"""The date that a template writes into a conversation: the one on which that conversation was first seen here.

Read from the clock at each request, it would change at midnight near the start of the prompt, and all that was computed
for the prompt would be lost. Templates that Transformers renders, at the first start with a folder or where a tokenizer
has code of its own, still read the clock: it takes no functions for them.
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
    """Of the conversations that were last used. Kept in memory: a server that starts again begins with its own date.

    Any thread may use it.
    """

    def __init__(self, clock: Callable[[], datetime] = datetime.now) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._by_conversation: OrderedDict[bytes, datetime] = OrderedDict()

    def date_of(self, messages: Sequence[ChatMessage]) -> datetime:
        """A conversation is known by its system text and the first turn of its user."""
        key = _digest(messages)
        with self._lock:
            date = self._by_conversation.setdefault(key, self._clock())
            self._by_conversation.move_to_end(key)
            if len(self._by_conversation) > MAX_CONVERSATIONS:
                self._by_conversation.popitem(last=False)
        return date


def _digest(messages: Sequence[ChatMessage]) -> bytes:
    digest = hashlib.sha256()
    for message in messages:
        digest.update(f"\0{message.role.value}\0{message.text}".encode("utf-8", "replace"))
        if message.role is Role.USER:
            break
    return digest.digest()
