"""More connections than the process may open: they are refused, the log says so once, and others go on."""

from __future__ import annotations

import contextlib
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.chaos.arena import SLOW_MODEL, arena, ask, limited
from tests.chaos.connections import connected
from tests.support.tiny_model import write_tiny_model
from tests.support.waiting import wait_until

NUM_FILES: Final = 200
MAX_LINES: Final = 1


def test_more_connections_than_descriptors(tmp_path: Path) -> None:
    # its stream outlasts the attack: a new one would be refused while there are no descriptors
    model = write_tiny_model(tmp_path / "model", max_position_embeddings=8192, **SLOW_MODEL)
    with arena(tmp_path, model, python_options=limited("RLIMIT_NOFILE", NUM_FILES)) as scene:
        scene.wait_for_tokens()
        before = len(scene.log_lines())
        with scene.attacked(f"{2 * NUM_FILES} connections with {NUM_FILES} descriptors"):
            with ExitStack() as stack:
                for _ in range(2 * NUM_FILES):
                    stack.enter_context(contextlib.closing(connected(scene.port)))
                scene.wait_for_tokens()
            wait_until(lambda: scene.get("/health").status == 200)  # until then it refuses new connections
        assert scene.post(ask()).status == 200
        assert len(scene.log_lines()) - before <= MAX_LINES, scene.log_lines()[before:]
