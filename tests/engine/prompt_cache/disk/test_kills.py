"""A process that is killed while it writes prompts leaves a folder that serves only correct ones (C2)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from pensieve.engine.prompt_cache.disk.file import TEMPORARY_PREFIX
from pensieve.engine.prompt_cache.disk.folder import SET_ASIDE
from tests.engine.prompt_cache.disk.kill_writer import NUM_PROMPTS as NUM_WRITTEN
from tests.engine.prompt_cache.disk.kill_writer import (
    first_prompt,
    keep,
    keep_state,
    prompt_of,
    state_is_right,
    wrong_or_missing,
)
from tests.engine.prompt_cache.disk.test_tier import BLOCK_FILE_BYTES, MIB, all_bytes, opened

ROOT = Path(__file__).parents[4]


def test_a_killed_writer_leaves_a_folder_that_serves_nothing_wrong(tmp_path: Path) -> None:
    """PENSIEVE_DISK_KILLS sets the number of kills. Half of them have a limit, so that eviction is interrupted too."""
    chance = random.Random(0)  # noqa: S311
    num_served = num_states = num_interrupted = 0
    for kill in range(int(os.environ.get("PENSIEVE_DISK_KILLS", "10"))):
        limit_bytes = (8 * BLOCK_FILE_BYTES, 100 * MIB)[kill % 2]
        command = [
            sys.executable,
            "-m",
            "tests.engine.prompt_cache.disk.kill_writer",
            str(tmp_path),
            str(kill),
            str(limit_bytes),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"writing\n"
            time.sleep(chance.uniform(0.0, 0.12))
            process.send_signal(signal.SIGKILL)
        num_interrupted += bool(list(tmp_path.glob(f"{TEMPORARY_PREFIX}*")))
        mine = [prompt_of(first_prompt(kill) + number) for number in range(NUM_WRITTEN)]
        with opened(tmp_path, limit_bytes=limit_bytes) as tier:
            found = [wrong_or_missing(tier, each) for each in mine]
            assert all(num_wrong == 0 for num_wrong, _ in found)
            num_served += sum(len(each) - missing for each, (_, missing) in zip(mine, found, strict=True))
            states = [state_is_right(tier, each[:-1]) for each in mine]
            assert False not in states
            num_states += states.count(True)
            keep(tier, mine[0])
            keep_state(tier, mine[0][:-1])
            assert tier.flush(300)
            assert wrong_or_missing(tier, mine[0]) == (0, 0)
            assert state_is_right(tier, mine[0][:-1])
            assert all_bytes(tmp_path) <= limit_bytes
        assert not list(tmp_path.glob(f"{TEMPORARY_PREFIX}*"))
        assert not (tmp_path / SET_ASIDE).exists()
    print(f"{num_interrupted} kills during a write; {num_served} tokens, {num_states} states served")  # noqa: T201
    assert num_served > 0
    assert num_states > 0
