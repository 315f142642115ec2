"""A machine is measured once, and again on request."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from pensieve.device.device import device_info
from pensieve.device.speed.probe import measure_rates
from pensieve.models.estimate import machine_speed
from pensieve.models.estimate.machine_speed import machine_rates
from pensieve.models.files.home import HOME_VARIABLE

pytestmark = pytest.mark.skipif(device_info().backend == "metal", reason="Apple's chips are in a table")


def test_rates_are_measured_once_and_again_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.setattr(machine_speed, "measure_rates", partial(measure_rates, max_seconds=0.4))
    messages: list[str] = []
    rates, phrase = machine_rates(messages.append)
    assert messages
    assert "measured on this machine" in phrase
    messages.clear()
    assert machine_rates(messages.append)[0] == rates
    assert not messages
    file = tmp_path / "speed.json"
    entries = json.loads(file.read_text())
    file.write_text(json.dumps({key: {"of": "another version"} for key in entries}))
    machine_rates(messages.append)
    assert messages
    messages.clear()
    machine_rates(messages.append, remeasure=True)
    assert messages


def test_a_busy_machine_is_measured_again_later_and_its_best_figures_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.setattr(machine_speed, "measure_rates", partial(measure_rates, max_seconds=0.1))
    machine_rates(lambda _: None)
    file = tmp_path / "speed.json"
    ((key, entry),) = json.loads(file.read_text()).items()
    fast = {**entry["rates"], "bandwidth_bytes_per_second": 1e15}
    file.write_text(json.dumps({key: {"rates": fast, "others_share": 0.9, "at": entry["at"] + 3600}}))
    messages: list[str] = []
    rates, _ = machine_rates(messages.append)
    assert messages, "measured again"
    assert rates.bandwidth_bytes_per_second == 1e15
    file.write_text(json.dumps({key: {"rates": fast, "others_share": 0.9, "at": entry["at"]}}))
    messages.clear()
    _, phrase = machine_rates(messages.append)
    assert not messages, "not again at once"
    assert "other programs used 90% of its processors" in phrase
