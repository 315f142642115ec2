"""What a user reads where MLX is missing: one sentence with the command that installs it."""

import subprocess
import sys
from pathlib import Path

import pytest

from pensieve.device.missing_mlx import cannot_import, install_command

WITHOUT_MLX = "import sys; sys.modules['mlx'] = None; from pensieve.cli.main import main; sys.exit(main(sys.argv[1:]))"
COMMANDS = [("serve", "--no-supervise", "--port", "0"), ("fit", "smollm2-135m")]


@pytest.mark.parametrize(
    ("prefix", "command"),
    [
        ("/home/a/.local/share/uv/tools/pensieve-server", "uv tool install 'pensieve-server[cpu]'"),
        ("/home/a/.local/share/pipx/venvs/pensieve-server", "pipx install --force 'pensieve-server[cpu]'"),
        ("/home/a/my project/.venv", "'/home/a/my project/.venv/bin/python' -m pip install 'pensieve-server[cpu]'"),
    ],
)
def test_the_command_is_the_one_of_the_tool_that_installed_pensieve(prefix: str, command: str) -> None:
    assert install_command("cpu", prefix, f"{prefix}/bin/python", source="") == command


@pytest.mark.parametrize(
    ("prefix", "command"),
    [
        (
            "/home/a/.local/share/uv/tools/pensieve-server",
            "uv tool install 'pensieve-server[cpu] @ file:///home/a/clone'",
        ),
        (
            "/home/a/.local/share/pipx/venvs/pensieve-server",
            "pipx install --force 'pensieve-server[cpu] @ file:///home/a/clone'",
        ),
        ("/home/a/.venv", "/home/a/.venv/bin/python -m pip install 'pensieve-server[cpu]'"),
    ],
)
def test_what_came_from_a_clone_is_installed_from_it_again(prefix: str, command: str) -> None:
    assert install_command("cpu", prefix, f"{prefix}/bin/python", source="file:///home/a/clone") == command


def test_without_an_extra_there_are_no_brackets() -> None:
    assert install_command("", "/home/a/.venv", "/home/a/.venv/bin/python") == (
        "/home/a/.venv/bin/python -m pip install pensieve-server"
    )


@pytest.mark.parametrize(
    ("written", "source"),
    [
        (None, ""),
        ('{"url": "file:///home/a/clone", "dir_info": {}}', "file:///home/a/clone"),
        ('{"url": "https://example.org/p.git", "vcs_info": {"vcs": "git"}}', "git+https://example.org/p.git"),
    ],
)
def test_the_source_is_what_the_installer_wrote_down(
    written: str | None, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "pensieve_server-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: pensieve-server\nVersion: 0.1.0\n")
    if written:
        (folder / "direct_url.json").write_text(written)
    monkeypatch.syspath_prepend(tmp_path)
    command = install_command("cpu", "/uv/tools/x")
    assert command == f"uv tool install '{' @ '.join(filter(None, ('pensieve-server[cpu]', source)))}'"


def test_a_library_that_cannot_be_loaded_is_named() -> None:
    message = cannot_import(ImportError("libcuda.so.1: cannot open shared object file"))
    assert message.startswith("MLX cannot be imported (libcuda.so.1: cannot open shared object file); install")


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_commands_that_need_mlx_print_one_sentence(words: tuple[str, ...], tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_MLX, *words],
        env={"PENSIEVE_HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert ended.stderr.startswith("pensieve: MLX, which computes the model, is not installed; install it with: ")
    assert "pensieve-server[" in ended.stderr
