"""What this server said, as the tokens that it was generated as (C1).

A client sends an answer back parsed and written again: other keys, other spaces, another order. Rendered anew it would
be other tokens, and all that was computed behind it would be lost. So the tokens are remembered, and put back where the
answer is still the same thing.
"""

from __future__ import annotations

import array
import hashlib
import logging
import re
import sqlite3
import threading
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from contracts.values.vocabulary import ChatMessage
from pensieve.core.answers.identity import AnswerIdentity, answer_key

log = logging.getLogger(__name__)

R = TypeVar("R")

MAX_ANSWERS: Final = 20_000
MAX_BYTES: Final = 64 * 1024**2

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, told TEXT NOT NULL, token_ids BLOB NOT NULL, checksum INTEGER NOT NULL,
    num_bytes INTEGER NOT NULL, used INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS by_use ON answers (used, num_bytes);
"""
_COLUMNS: Final = ["key", "told", "token_ids", "checksum", "num_bytes", "used"]


@dataclass(frozen=True, slots=True)
class Answer:
    """`told` is the turn as the client was told it, `asked` the turn that it answers. `token_ids` are all that were
    sampled but the one that ended the turn.
    """

    told: ChatMessage
    asked: ChatMessage | None
    token_ids: tuple[int, ...]


class AnswerMemory:
    """Remembers answers up to a number and a sum of bytes, the least recently used forgotten first. Any thread may use
    it. With a `path`, it is kept there, in a file that nobody else may read; without, it ends with the process.

    It never fails: what cannot be read is set aside or not recalled, and the turn is rendered anew.
    """

    def __init__(self, path: Path | None = None, *, max_answers: int = MAX_ANSWERS, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_answers = max_answers
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._connection = self._opened()

    def remember(self, answer: Answer) -> None:
        """Keep an answer. One that is known already is kept as it is, so that prompts with it stay what they were."""
        told = AnswerIdentity.of(answer.told)
        if told is None or not answer.token_ids:
            return
        key, text, token_ids = answer_key(answer.told, answer.asked), told.as_json(), _packed(answer.token_ids)
        size = len(text.encode("utf-8", "surrogatepass")) + len(token_ids) + len(key)

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO answers SELECT ?, ?, ?, ?, ?, 1 + ifnull(max(used), 0) FROM answers WHERE true "
                "ON CONFLICT (key) DO NOTHING",
                (key, text, token_ids, _checksum(text, token_ids), size),
            )
            self._forget(connection)

        self._run(insert)

    def recall(self, message: ChatMessage, asked: ChatMessage | None = None) -> list[int] | None:
        """The tokens of an assistant's turn, where it is one that was generated here and still says the same.

        `asked` is the turn before it. Calls are found by the id of the first; words by themselves and what they answer.
        The same: calls with the same ids and names, whose arguments still have every key that was generated, with an
        equal value (numbers by value, strings up to white space at the end of a line), among others if need be; text
        and thinking up to white space.
        """
        told = AnswerIdentity.of(message)
        if told is None:
            return None
        key = answer_key(message, asked)
        row = self._run(lambda connection: self._found(connection, key))
        if row is None:
            return None
        text, token_ids = row
        try:
            is_same = told.matches(AnswerIdentity.from_json(text))
        except RecursionError:  # arguments as deep as a parser takes them
            return None
        return _unpacked(token_ids) if is_same else None

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def __len__(self) -> int:
        found = self._run(lambda connection: connection.execute("SELECT count(*) FROM answers").fetchone())
        return int(found[0]) if found else 0

    @property
    def num_bytes(self) -> int:
        """Of what is kept, without the file's own structure."""
        found = self._run(lambda connection: connection.execute("SELECT total(num_bytes) FROM answers").fetchone())
        return int(found[0]) if found else 0

    def _found(self, connection: sqlite3.Connection, key: str) -> tuple[str, bytes] | None:
        row = connection.execute("SELECT told, token_ids, checksum FROM answers WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        text, token_ids, checksum = row
        if _checksum(text, token_ids) != checksum:
            connection.execute("DELETE FROM answers WHERE key = ?", (key,))
            return None
        connection.execute(  # a little out of order is good enough, and spares most writes
            "UPDATE answers SET used = (SELECT 1 + max(used) FROM answers) "
            "WHERE key = ? AND used < (SELECT max(used) FROM answers) - ?",
            (key, self._max_answers // 16),
        )
        return text, token_ids

    def _forget(self, connection: sqlite3.Connection) -> None:
        """Take the least recently used away until both limits hold."""
        count, num_bytes = connection.execute("SELECT count(*), total(num_bytes) FROM answers").fetchone()
        oldest = connection.execute("SELECT key, num_bytes FROM answers ORDER BY used")
        forgotten: list[tuple[str]] = []
        while count > self._max_answers or num_bytes > self._max_bytes:
            key, size = oldest.fetchone()
            forgotten.append((key,))
            count, num_bytes = count - 1, num_bytes - size
        oldest.close()
        connection.executemany("DELETE FROM answers WHERE key = ?", forgotten)

    def _run(self, work: Callable[[sqlite3.Connection], R]) -> R | None:
        """In one transaction; None where it cannot be done."""
        with self._lock:
            if self._connection is None:
                return None
            try:
                with self._connection:
                    return work(self._connection)
            except sqlite3.OperationalError as error:  # locked by another process, or a full disk: it may pass
                log.warning("the memory of answers is out of reach: %s", error)
            except sqlite3.DatabaseError as error:
                log.warning("the memory of answers is damaged and is begun anew: %s", error)
                self._connection.close()
                self._connection = self._begun_anew()
            return None

    def _opened(self) -> sqlite3.Connection | None:
        try:
            return _connected(self._path)
        except (sqlite3.OperationalError, OSError) as error:
            log.warning("answers are remembered until the server ends, and not at %s: %s", self._path, error)
            return _connected(None)
        except sqlite3.DatabaseError as error:
            log.warning("%s is no memory of answers and is set aside: %s", self._path, error)
            return self._begun_anew()

    def _begun_anew(self) -> sqlite3.Connection | None:
        try:
            if self._path is not None:
                for suffix in ("-wal", "-shm"):
                    self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
                self._path.replace(self._path.with_name(self._path.name + ".damaged"))
            return _connected(self._path)
        except (sqlite3.Error, OSError) as error:
            log.warning("answers are remembered until the server ends: %s", error)
            return _connected(None)


def answers_path(answers_folder: Path, model_id: str, model_folder: Path) -> Path:
    """Where the answers of one model are kept: token ids mean something to one tokenizer alone."""
    digest = hashlib.sha256()
    for file in sorted(model_folder.glob("*token*")):  # tokenizer.json, or the files of slower ones
        digest.update(file.name.encode() + file.read_bytes())
    name = re.sub(r"[^\w.-]", "-", model_id)[:64]
    return answers_folder / f"{name}-{digest.hexdigest()[:16]}.db"


def _connected(path: Path | None) -> sqlite3.Connection:
    """
    Raises:
        sqlite3.DatabaseError: the file is damaged, or none of ours.
        OSError: it cannot be made.
    """
    if path is not None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    connection = sqlite3.connect(path or ":memory:", check_same_thread=False, timeout=1.0)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
        _check(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    with closing(connection.execute("PRAGMA quick_check(1)")) as found:
        if found.fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("its pages are damaged")
    with closing(connection.execute("SELECT name FROM pragma_table_info('answers')")) as names:
        if [name for (name,) in names] != _COLUMNS:
            raise sqlite3.DatabaseError("it has other columns")


def _packed(token_ids: Sequence[int]) -> bytes:
    return array.array("I", token_ids).tobytes()


def _unpacked(data: bytes) -> list[int]:
    return array.array("I", data).tolist()


def _checksum(text: str, token_ids: bytes) -> int:
    return zlib.crc32(token_ids, zlib.crc32(text.encode()))
