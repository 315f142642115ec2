"""Checks an installed wheel as a user would: its version, its help, and an answer from a server that plays a script."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

SCRIPT = '[[reply]]\ntext = "Hello from the wheel."\n'
REQUEST = {"model": "scripted", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}
PENSIEVE = str(Path(sys.executable).with_name("pensieve"))


def main() -> None:
    for argument in ("--version", "--help"):
        subprocess.run([PENSIEVE, argument], check=True)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.toml"
        script.write_text(SCRIPT, encoding="utf-8")
        command = [PENSIEVE, "serve", "--port", "0", "--script", str(script)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                line = server.stdout.readline()
                url = re.search(r"http://\S+", line)
                assert url is not None, f"expected a line with the server's URL, actual {line!r}"
                assert answer(url[0]) == "Hello from the wheel."
                check_page(url[0])
            finally:
                server.terminate()
    print(line, end="")


def answer(url: str) -> str:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/messages", json.dumps(REQUEST).encode(), headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=300) as response:  # noqa: S310
        text: str = json.load(response)["content"][0]["text"]
    return text


def check_page(url: str) -> None:
    """The page and all that it loads are in the wheel."""
    request = urllib.request.Request(f"{url}/", headers={"accept": "text/html"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=300) as response:  # noqa: S310
        page = response.read().decode()
    loaded = re.findall(r'(?:src|href)="(page/[^"]+)"', page)
    assert len(loaded) == 3, page
    for path in loaded:
        with urllib.request.urlopen(f"{url}/{path}", timeout=300) as response:  # noqa: S310
            assert response.read()


if __name__ == "__main__":
    main()
