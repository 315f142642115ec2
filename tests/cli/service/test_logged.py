"""The log that a service under launchd writes itself."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import wait_until


def start(log: Path, *arguments: str, max_bytes: int = 10**6) -> subprocess.Popen[bytes]:
    program = (
        "import sys, pathlib; from pensieve.cli.service import logged; logged.MAX_FILE_BYTES = int(sys.argv[1]); "
        "sys.exit(logged.run_logged(pathlib.Path(sys.argv[2]), *sys.argv[3:]))"
    )
    return subprocess.Popen((sys.executable, "-c", program, str(max_bytes), str(log), *arguments))


def test_the_log_has_a_limit_and_the_exit_status_is_that_of_the_command(tmp_path: Path) -> None:
    log = tmp_path / "a folder/service.log"
    assert start(log, "serve", "--no-such-flag", max_bytes=500).wait(300) == 2
    files = sorted(log.parent.iterdir())
    assert "--no-such-flag" in "".join(file.read_text(encoding="utf-8") for file in files)
    assert start(log, "serve", "--help", max_bytes=500).wait(300) == 0
    files = sorted(log.parent.iterdir())
    assert [file.name for file in files] == ["service.log", "service.log.1", "service.log.2", "service.log.3"]
    assert all(file.stat().st_size <= 500 for file in files)


def test_a_stop_reaches_the_server(tmp_path: Path) -> None:
    (tmp_path / "script.toml").write_text("[[reply]]\n", encoding="utf-8")
    log = tmp_path / "service.log"
    process = start(log, "serve", "--port", "0", "--script", str(tmp_path / "script.toml"))
    wait_until(lambda: log.exists() and "serving scripted" in log.read_text(encoding="utf-8"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(300) == 0
