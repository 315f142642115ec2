"""The answers that this server generated, as the tokens that were sampled (C1).

A client sends an answer back parsed and serialised again, with its keys and spaces in another form. Rendered from that,
it would be different tokens, and the KV cache of everything after it would be lost. So the sampled tokens are kept, and
used in later prompts as long as the answer still means the same.
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
from pensieve.models.files.home import private_folder

log = logging.getLogger(__name__)

R = TypeVar("R")

MAX_ANSWERS: Final = 20_000
MAX_BYTES: Final = 64 * 1024**2

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, told TEXT NOT NULL, token_ids BLOB NOT NULL, checksum INTEGER NOT NULL, -- words: quoted
    num_bytes INTEGER NOT NULL, used INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS by_use ON answers (used, num_bytes);
"""
_COLUMNS: Final = ["key", "told", "token_ids", "checksum", "num_bytes", "used"]  # words: quoted
_SELECT: Final = "SELECT told, token_ids, checksum FROM answers WHERE key = ?"  # words: quoted


@dataclass(frozen=True, slots=True)
class GeneratedAnswer:
    """`turn` is the answer as it was sent to the client, `previous` the turn that it answers. `token_ids` are all
    sampled tokens except the one that ended the turn. Only prompts of the same `namespace` recall it.
    """

    turn: ChatMessage
    previous: ChatMessage | None
    token_ids: tuple[int, ...]
    namespace: str = ""


class AnswerMemory:
    """Keeps the most recently used answers, up to a number and a total size. Any thread may use it. With a `path` they
    are in a file that only this user may read; without, they end with the process.

    It never raises: a damaged file is set aside, an answer that cannot be read is not recalled, and its turn is
    rendered as the client sent it.
    """

    def __init__(self, path: Path | None = None, *, max_answers: int = MAX_ANSWERS, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_answers = max_answers
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._connection = self._open()

    def remember(self, answer: GeneratedAnswer) -> None:
        """An answer that is already stored stays as it is, so that prompts that contain it do not change."""
        identity = AnswerIdentity.of(answer.turn)
        if identity is None or not answer.token_ids:
            return
        key = _key(answer.turn, answer.previous, answer.namespace)
        text, token_ids = identity.as_json(), _packed(answer.token_ids)
        size = len(text.encode("utf-8", "surrogatepass")) + len(token_ids) + len(key)

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO answers SELECT ?, ?, ?, ?, ?, 1 + ifnull(max(used), 0) FROM answers WHERE true "
                "ON CONFLICT (key) DO NOTHING",
                (key, text, token_ids, _checksum(text, token_ids), size),
            )
            self._evict(connection)

        self._run(insert)

    def recall(
        self, message: ChatMessage, previous: ChatMessage | None = None, namespace: str = ""
    ) -> list[int] | None:
        """The sampled tokens of an assistant's turn, if it was generated here and still means the same.

        `previous` is the turn before it. Calls are found by the id of the first one, text by itself and `previous`.
        A turn means the same if its text and thinking are equal up to white space, and its calls have the same ids and
        names and arguments that contain every generated key with an equal value (numbers compared by value, strings up
        to white space at line ends). Arguments may have further keys with empty values, such as false.
        """
        identity = AnswerIdentity.of(message)
        if identity is None:
            return None
        key = _key(message, previous, namespace)
        row = self._run(lambda connection: self._found(connection, key))
        if row is None:
            return None
        text, token_ids = row
        try:
            is_same = identity.matches(AnswerIdentity.from_json(text))
        except RecursionError:  # arguments may be nested as deeply as the JSON parser allows
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
        """Of the answers, without the overhead of the file."""
        found = self._run(lambda connection: connection.execute("SELECT total(num_bytes) FROM answers").fetchone())
        return int(found[0]) if found else 0

    def _found(self, connection: sqlite3.Connection, key: str) -> tuple[str, bytes] | None:
        row = connection.execute(_SELECT, (key,)).fetchone()
        if row is None:
            return None
        text, token_ids, checksum = row
        if _checksum(text, token_ids) != checksum:
            connection.execute("DELETE FROM answers WHERE key = ?", (key,))
            return None
        connection.execute(  # approximate order suffices and avoids most writes
            "UPDATE answers SET used = (SELECT 1 + max(used) FROM answers) "
            "WHERE key = ? AND used < (SELECT max(used) FROM answers) - ?",
            (key, self._max_answers // 16),
        )
        return text, token_ids

    def _evict(self, connection: sqlite3.Connection) -> None:
        """Delete the least recently used answers until both limits hold."""
        count, num_bytes = connection.execute("SELECT count(*), total(num_bytes) FROM answers").fetchone()
        oldest = connection.execute("SELECT key, num_bytes FROM answers ORDER BY used")
        evicted: list[tuple[str]] = []
        while count > self._max_answers or num_bytes > self._max_bytes:
            key, size = oldest.fetchone()
            evicted.append((key,))
            count, num_bytes = count - 1, num_bytes - size
        oldest.close()
        connection.executemany("DELETE FROM answers WHERE key = ?", evicted)

    def _run(self, work: Callable[[sqlite3.Connection], R]) -> R | None:
        """Run `work` in one transaction. None if the database cannot be used."""
        with self._lock:
            if self._connection is None:
                return None
            try:
                with self._connection:
                    return work(self._connection)
            except sqlite3.OperationalError as error:  # locked by another process, or a full disk: temporary
                log.warning("the answer memory cannot be used now: %s", error)
            except sqlite3.DatabaseError as error:
                log.warning("the answer memory is damaged; starting with an empty one: %s", error)
                self._connection.close()
                self._connection = self._reset()
            return None

    def _open(self) -> sqlite3.Connection | None:
        try:
            return _connected(self._path)
        except (sqlite3.OperationalError, OSError) as error:
            log.warning("answers are kept in memory only, not in %s: %s", self._path, error)
            return _connected(None)
        except sqlite3.DatabaseError as error:
            log.warning("%s is not an answer memory and is set aside: %s", self._path, error)
            return self._reset()

    def _reset(self) -> sqlite3.Connection | None:
        try:
            if self._path is not None:
                for suffix in ("-wal", "-shm"):
                    self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
                self._path.replace(self._path.with_name(self._path.name + ".damaged"))
            return _connected(self._path)
        except (sqlite3.Error, OSError) as error:
            log.warning("answers are kept in memory only: %s", error)
            return _connected(None)


def answers_path(answers_folder: Path, model_id: str, model_folder: Path) -> Path:
    """The file of one model's answers. Its name contains a hash of the tokenizer, because token ids depend on it."""
    digest = hashlib.sha256()
    for file in sorted(model_folder.glob("*token*")):  # tokenizer.json, or a slow tokenizer's files
        digest.update(file.name.encode() + file.read_bytes())
    name = re.sub(r"[^\w.-]", "-", model_id)[:64]
    return answers_folder / f"{name}-{digest.hexdigest()[:16]}.db"


def _key(turn: ChatMessage, previous: ChatMessage | None, namespace: str) -> str:
    """Without a namespace, the key of versions before there were any."""
    key = answer_key(turn, previous)
    return hashlib.sha256(f"{namespace}\n{key}".encode("utf-8", "surrogatepass")).hexdigest() if namespace else key


def _connected(path: Path | None) -> sqlite3.Connection:
    """
    Raises:
        sqlite3.DatabaseError: the file is damaged, or is not an answer memory.
        OSError: the file cannot be created.
    """
    if path is not None:
        private_folder(path.parent)
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
