"""Kernels are compiled before the first request, and slow work is logged."""

from __future__ import annotations

import logging
import threading

import pytest

from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.batch.batch import Batch
from pensieve.engine.decoding.grammar_mask import Grammars
from pensieve.engine.memory.probe import probe
from pensieve.engine.options import EngineOptions
from pensieve.engine.warm_up import log_if_slow, timed_prefill, warm_up
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.loading.load import load
from tests.support.engines import GIB
from tests.support.waiting import wait_until


def test_warm_up_runs_an_answer_of_each_kind_and_a_draft_of_each_width(tiny_folder: ModelFolder) -> None:
    model = load(tiny_folder)
    found = probe(model, DeviceMemory(GIB), chunk_tokens=64, max_bytes=GIB)
    batch = Batch(model, found, EngineOptions(), chunk_tokens=64)
    num_tokens, num_passes = warm_up(model, found, batch, Grammars(model))
    answers = 6 + 1 + (6 + 1)  # each sampler alone, a grammar alone, and all together
    assert answers <= num_tokens <= 4 * answers
    assert num_passes == 10
    assert batch.kv_cache_bytes == 0


def test_a_failed_warm_up_is_logged_and_not_raised(
    tiny_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = load(tiny_folder)
    found = probe(model, DeviceMemory(GIB), chunk_tokens=64, max_bytes=GIB)
    batch = Batch(model, found, EngineOptions(), chunk_tokens=64)
    monkeypatch.setattr(batch, "step", lambda: 1 // 0)
    assert warm_up(model, found, batch, Grammars(model)) == (0, 0)
    assert "warming up failed" in caplog.text


def test_a_prefill_is_timed(tiny_folder: ModelFolder, caplog: pytest.LogCaptureFixture) -> None:
    model = load(tiny_folder)
    found = probe(model, DeviceMemory(GIB), chunk_tokens=64, max_bytes=GIB)
    num_tokens, seconds = timed_prefill(model, found)
    assert (num_tokens, seconds > 0) == (64, True)
    model.release()
    assert timed_prefill(model, found) == (0, 0.0)
    assert "timing a prefill failed" in caplog.text


def test_slow_work_is_logged_when_it_is_late_and_when_it_is_done(caplog: pytest.LogCaptureFixture) -> None:
    with log_if_slow("compiling", after_seconds=0.05):
        wait_until(lambda: caplog.records)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    began, ended = (record.getMessage() for record in caplog.records)
    assert began.startswith("compiling; ")
    assert ended.startswith("compiling: done in ")


def test_fast_work_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with log_if_slow("compiling", after_seconds=300):
        timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    for timer in timers:
        timer.join(300)
    assert len(timers) == 1
    assert timers[0].finished.is_set()
    assert not caplog.records


def test_failed_work_is_not_logged_as_done(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        with log_if_slow("compiling", after_seconds=0.01):
            wait_until(lambda: caplog.records)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert len(caplog.records) == 1
