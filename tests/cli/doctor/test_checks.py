"""Each check on a machine that has what it looks for, and on one that is well."""

import json
import resource
import socket
import sqlite3
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pensieve.cli.doctor import answer, clients, installation, machine, server, storage
from pensieve.cli.doctor.check import CheckResult, Subject
from pensieve.cli.doctor.device import DeviceReport, device_report
from pensieve.cli.doctor.examination import examine, report
from pensieve.models.files.atomic_folder import make_folder
from pensieve.models.files.home import home, models_folder
from pensieve.models.files.progress import SilentProgress
from tests.cli.models.models_command import ModelsCommand
from tests.models.hub.hub_server import SmallHub
from tests.support.running_server import scripted_server

GB = 1000**3
ON_CPU = DeviceReport(description="CPU (MKL)", backend="cpu", memory_bytes=10**15, blas="MKL", blas_threads=2)


def subject(folder: Path, device: DeviceReport = ON_CPU, *, quick: bool = False, **environment: str) -> Subject:
    examined = Subject({"HOME": str(folder), **environment}, folder, quick)
    examined.device = device
    return examined


def problem_of(result: CheckResult) -> str:
    assert result.status == "problem", result
    assert result.fix
    return f"{result.what} | {result.fix}"


def test_requirements_that_are_not_satisfied_are_named() -> None:
    assert installation.unsatisfied(["pytest>=1", "pytest<1", "no-such-thing>=2", "absent; extra == 'gpu'"]) == [
        f"pytest is {pytest.__version__}, not <1",
        "no-such-thing is missing",
    ]


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("import os; os.abort()", "ended by SIGABRT"),
        ("raise ImportError('no module mlx')", "no module mlx"),
        ("import json; print(json.dumps({'error': 'MLX cannot be imported'}))", "MLX cannot be imported"),
        ("pass", "exit status 0"),
    ],
)
def test_a_device_that_ends_its_process_is_a_finding(tmp_path: Path, program: str, expected: str) -> None:
    found = device_report((sys.executable, "-c", program))
    assert expected in found.error
    assert "pensieve-server" in problem_of(installation.device(subject(tmp_path, found)))
    assert installation.blas(subject(tmp_path, found)).status == "skipped"
    assert answer.answer(subject(tmp_path, found)).status == "skipped"


def test_a_gpu_that_is_not_used_is_a_problem_and_a_machine_without_one_is_not(tmp_path: Path) -> None:
    unused = DeviceReport(description="CPU (MKL)", backend="cpu", why_no_gpu="built for the CPU only", has_gpu=True)
    assert "built for the CPU only" in problem_of(installation.device(subject(tmp_path, unused)))
    none = DeviceReport(description="CPU (MKL)", backend="cpu", why_no_gpu="there is no NVIDIA GPU")
    assert installation.device(subject(tmp_path, none)).status == "ok"


def test_the_slow_blas_is_a_problem_on_a_cpu_alone(tmp_path: Path) -> None:
    slow = DeviceReport(description="CPU", backend="cpu", blas="bundled", blas_remark="MKL was not found")
    assert "MKL was not found" in problem_of(installation.blas(subject(tmp_path, slow)))
    assert installation.blas(subject(tmp_path, DeviceReport(backend="cuda", blas="bundled"))).status == "ok"


def test_a_blas_that_the_user_chose_is_fixed_by_choosing_none(tmp_path: Path) -> None:
    bundled = DeviceReport(description="CPU", backend="cpu", blas="bundled")
    assert "| unset PENSIEVE_BLAS" in problem_of(installation.blas(subject(tmp_path, bundled)))
    missing = DeviceReport("the BLAS /no/such.so cannot be loaded")
    assert "| unset PENSIEVE_BLAS" in problem_of(
        installation.device(subject(tmp_path, missing, PENSIEVE_BLAS="/no/such.so"))
    )


def test_a_memory_limit_beyond_the_machine_and_too_little_free_memory_are_problems(tmp_path: Path) -> None:
    small = DeviceReport(backend="cpu", memory_bytes=GB)
    assert "close programs" in problem_of(machine.memory(subject(tmp_path, small)))
    too_much = subject(tmp_path, PENSIEVE_MEMORY_LIMIT="5000TB")
    assert "PENSIEVE_MEMORY_LIMIT" in problem_of(machine.memory(too_much))


def test_a_memory_limit_beyond_that_of_a_macs_gpu_is_a_problem(tmp_path: Path) -> None:
    mac = DeviceReport(backend="metal", memory_bytes=17 * GB, max_gpu_bytes=11 * GB)
    assert "iogpu.wired_limit_mb=11445" in problem_of(machine.gpu_limit(subject(tmp_path, mac)))
    assert machine.gpu_limit(subject(tmp_path, mac, PENSIEVE_MEMORY_LIMIT="11GB")).status == "ok"
    assert machine.gpu_limit(subject(tmp_path)).status == "skipped"


def test_a_home_that_cannot_exist_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path / "file/home"))
    assert "set PENSIEVE_HOME" in problem_of(machine.disk(subject(tmp_path)))


def test_a_full_disk_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MIN_FREE_DISK", 10**18)
    assert "pensieve cache prune" in problem_of(machine.disk(subject(tmp_path)))


def test_few_descriptors_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    assert "ulimit -n" in problem_of(machine.descriptors(subject(tmp_path)))


def test_settings_that_a_server_would_refuse_are_a_problem(tmp_path: Path) -> None:
    assert "PENSIEVE_PORT" in problem_of(server.settings(subject(tmp_path, PENSIEVE_PORT="http")))
    assert "PENSIEVE_PORT" in server.settings(subject(tmp_path, PENSIEVE_PORT="9000")).what


def test_names_that_cannot_be_read_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path))
    (tmp_path / "names.json").write_text("{", encoding="utf-8")
    assert "names.json" in problem_of(server.settings(subject(tmp_path)))


def test_a_port_in_use_is_a_problem_unless_pensieve_answers_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        number = silent.getsockname()[1]
        silent.close()
        assert server.port(subject(tmp_path, PENSIEVE_PORT=str(number))).status == "ok"
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        number = bound.getsockname()[1]
        assert "does not answer" in problem_of(server.port(subject(tmp_path, PENSIEVE_PORT=str(number))))
    with scripted_server(tmp_path) as client:
        found = server.port(subject(tmp_path, PENSIEVE_PORT=str(client.base_url.port)))
        assert found.status == "ok"
        assert "scripted" in found.what


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete folder in the place of the embedded model."""
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path / "kept"))
    folder = models_folder() / "smollm2-135m"

    def make(new: Path) -> None:
        (new / "model.safetensors").write_bytes(bytes(1000))

    make_folder(folder, make, source="m", needed_bytes=1, progress=SilentProgress())
    return folder


def test_one_changed_byte_of_a_model_is_found_unless_quick(embedded: Path, tmp_path: Path) -> None:
    assert storage.models(subject(tmp_path)).what == "smollm2-135m is what was fetched"
    weights = embedded / "model.safetensors"
    weights.write_bytes(b"\1" + bytes(999))
    assert "model.safetensors has changed" in problem_of(storage.models(subject(tmp_path)))
    assert storage.models(subject(tmp_path, quick=True)).status == "ok"
    weights.write_bytes(bytes(998))
    assert "pensieve models remove" in problem_of(storage.models(subject(tmp_path, quick=True)))


def test_one_changed_byte_of_a_model_from_the_hub_is_found(
    hub: SmallHub, models: ModelsCommand, tmp_path: Path
) -> None:
    examined = subject(tmp_path, PENSIEVE_MODEL="org/tiny")
    assert "fetched when" in storage.models(examined).what
    models.run("pull", "org/tiny")
    assert storage.models(examined).what == "org/tiny is what was fetched"
    blob = max((path for path in tmp_path.rglob("blobs/*") if path.is_file()), key=lambda path: path.stat().st_size)
    blob.write_bytes(blob.read_bytes()[:-1] + b"\7")
    assert "model.safetensors has changed" in problem_of(storage.models(examined))


def test_a_model_that_does_not_exist_is_a_problem(tmp_path: Path) -> None:
    assert "no such folder" in problem_of(storage.models(subject(tmp_path, PENSIEVE_MODEL="smolm2")))


def test_damage_in_the_prompt_cache_is_found_and_nothing_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path))
    assert storage.cache(subject(tmp_path)).status == "ok"
    (home() / "kv").mkdir()
    (home() / "kv/0a.kv").write_bytes(b"not a block")
    assert "1 damaged blocks" in problem_of(storage.cache(subject(tmp_path)))
    assert (home() / "kv/0a.kv").exists()


def test_a_damaged_database_of_answers_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path))
    (tmp_path / "answers").mkdir()
    with sqlite3.connect(tmp_path / "answers/well.db") as connection:
        connection.execute("CREATE TABLE answers (key TEXT)")
    connection.close()
    assert storage.cache(subject(tmp_path)).status == "ok"
    (tmp_path / "answers/broken.db").write_bytes(b"not a database" * 100)
    assert "broken.db" in problem_of(storage.cache(subject(tmp_path)))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"env": {"ANTHROPIC_BASE_URL": "https://gateway.example", "ANTHROPIC_API_KEY": "k"}}, "ANTHROPIC_API_KEY"),
        ({"env": {"CLAUDE_CODE_USE_BEDROCK": "1"}}, "CLAUDE_CODE_USE_BEDROCK"),
        ({"apiKeyHelper": "cat key"}, "apiKeyHelper"),
        ("not JSON", "cannot be read"),
        ({"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:8765", "ANTHROPIC_AUTH_TOKEN": "any"}}, None),
        ({"model": "opus", "env": {"EDITOR": "vi"}}, None),
    ],
)
def test_settings_of_claude_code_that_override_ours_are_found(
    tmp_path: Path, content: Mapping[str, Any] | str, expected: str | None
) -> None:
    path = tmp_path / ".claude/settings.json"
    path.parent.mkdir()
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    found = clients.claude_settings(subject(tmp_path), tmp_path / "managed.json")
    if expected is None:
        assert found.status == "ok"
    else:
        assert expected in problem_of(found)


def test_managed_settings_are_a_matter_for_the_administrator(tmp_path: Path) -> None:
    managed = tmp_path / "managed.json"
    managed.write_text('{"env": {"ANTHROPIC_BASE_URL": "https://gateway.example"}}', encoding="utf-8")
    assert "administrator" in problem_of(clients.claude_settings(subject(tmp_path), managed))


def test_a_proxy_is_a_problem_unless_this_machine_bypasses_it(tmp_path: Path) -> None:
    address = "http://proxy.example:3128"
    assert "NO_PROXY" in problem_of(clients.proxy(subject(tmp_path, HTTP_PROXY=address)))
    assert "NO_PROXY" in problem_of(clients.proxy(subject(tmp_path, all_proxy=address, no_proxy="example.org")))
    assert clients.proxy(subject(tmp_path, HTTPS_PROXY=address)).status == "ok"
    assert clients.proxy(subject(tmp_path, http_proxy=address, NO_PROXY="localhost,127.0.0.1")).status == "ok"


@pytest.mark.parametrize(
    ("output", "status"), [("2.1.328 (Claude Code)", "ok"), ("1.0.30 (Claude Code)", "problem"), ("?", "problem")]
)
def test_an_old_claude_code_is_a_problem(tmp_path: Path, output: str, status: str) -> None:
    program = tmp_path / "claude"
    program.write_text(f"#!/bin/sh\necho '{output}'\n", encoding="utf-8")
    program.chmod(0o700)
    found = clients.claude_version(subject(tmp_path, PENSIEVE_CLAUDE=str(program), PATH="/usr/bin:/bin"))
    assert found.status == status


def test_a_check_that_fails_is_a_finding(tmp_path: Path) -> None:
    def failing(_: Subject) -> CheckResult:
        raise OSError("the disk is gone")

    check: Callable[[Subject], CheckResult] = failing
    assert "the disk is gone" in problem_of(examine(check, subject(tmp_path)))


@pytest.mark.parametrize("exists", [True, False])
def test_the_name_of_a_folder_with_a_model_stays_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, exists: bool
) -> None:
    folder = tmp_path / "The Merger/secret planted model"
    if exists:
        folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for name in (str(folder), str(folder.relative_to(tmp_path))):
        examined = subject(tmp_path, PENSIEVE_MODEL=name)
        found = storage.models(examined)
        assert "planted" in found.what
        printed = json.dumps(report({"models": found}, examined.environment))
        assert "planted" not in printed
        assert "Merger" not in printed
