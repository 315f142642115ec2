"""What was measured of a machine is measured once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pensieve.device.device import device_info
from pensieve.models.estimate.machine_speed import machine_rates
from pensieve.models.files.home import HOME_VARIABLE

pytestmark = pytest.mark.skipif(device_info().backend == "metal", reason="Apple's chips are in a table")


def test_rates_are_measured_once_and_anew_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    told: list[str] = []
    rates, phrase = machine_rates(told.append)
    assert told
    assert "measured here" in phrase
    told.clear()
    assert machine_rates(told.append)[0] == rates
    assert not told
    file = tmp_path / "speed.json"
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({key: {"of": "another version"} for key in kept}))
    machine_rates(told.append)
    assert told
    told.clear()
    machine_rates(told.append, anew=True)
    assert told
