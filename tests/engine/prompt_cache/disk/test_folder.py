from __future__ import annotations

import stat
from pathlib import Path

from pensieve.engine.prompt_cache.answer_memory import AnswerMemory
from pensieve.engine.prompt_cache.disk.folder import KVFolder


def test_folders_of_prompts_are_closed_to_other_users_even_if_they_were_open(tmp_path: Path) -> None:
    kv, answers = tmp_path / "kv", tmp_path / "answers"
    for folder in (kv, answers):
        folder.mkdir(mode=0o755)
    with KVFolder(kv).locked():
        pass
    AnswerMemory(answers / "model.db")
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (kv, answers)] == [0o700, 0o700]
