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
    assert install_command("cpu", prefix, f"{prefix}/bin/python") == command


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
