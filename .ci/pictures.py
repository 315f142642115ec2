"""Makes the pictures of the site in build/pictures: what commands print, and the status page while requests run.

    python .ci/pictures.py

A page shows a picture by a comment, `<!-- picture NAME: its text -->`, which .ci/site.py replaces. Nothing in a picture
comes from the home of the person who builds the site; the servers have a folder of their own, build/pictures-home.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from perf_gates.loads.servers import ServerProcess, serving
from tests.page.conftest import PROGRAMS, Watched, watched
from tests.page.streams import running_streams

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build/pictures"
HOME = ROOT / "build/pictures-home"
COLUMNS = 88
QUESTION = "What is the capital of France?"
SCRIPT = f"""
[[reply]]
when = "slowly"
text = "word "
repeat = 8000
seconds_per_token = 0.02

[[reply]]
when = "{QUESTION}"
text = "The capital of France is Paris."
seconds_per_token = 0.02
"""
FONT_FACE = re.compile(r"@font-face \{.*?\}", re.DOTALL)
FONTS = 'ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace'
PROGRAMS_OF_MACHINE = re.compile(r";\s+the\s+largest\s+programs:.*?(?=\n\S)", re.DOTALL)
MARK = re.compile(r"^<!-- picture ([\w-]+): ", re.MULTILINE)

Edit = Callable[[str], str]


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    HOME.mkdir(exist_ok=True)
    script = HOME / "script.toml"
    script.write_text(SCRIPT, encoding="utf-8")
    own = {"PENSIEVE_HOME": str(HOME)}
    with serving("--log-level", "warning", environment=own) as server:
        picture_commands(server)
    with serving("--script", str(script), "--log-level", "warning", environment=own) as server:
        picture_page(server)
    check_pages()


def picture_commands(server: ServerProcess) -> None:
    """`ps` lists every server of the user: here, those that the build did not start are left out."""
    picture("pensieve", "pensieve")
    picture("doctor", "pensieve doctor --quick", edit=without_programs)
    picture("fit", "pensieve fit smollm2-135m")
    picture("ps", "pensieve ps", edit=lambda text: only_servers(text, server.pid))
    ask = f'pensieve run smollm2-135m "{QUESTION}" --temperature 0'
    picture("run", ask, "--url", server.url)


def picture(name: str, command: str, *more: str, edit: Edit = str) -> None:
    """`more` is needed where the build runs, such as the address of its server, and is not shown."""
    words = shlex.split(command)[1:]
    ended = subprocess.run(
        [sys.executable, "-m", "pensieve", *words, *more],
        env=environment(),
        cwd=HOME,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert ended.stdout, f"`{command}` printed nothing, and ended with {ended.returncode}"
    output = edit(ended.stdout).replace(str(HOME), "~/.cache/pensieve").strip("\n")
    (FOLDER / f"{name}.svg").write_text(drawn(name, command, output), encoding="utf-8")
    print(f"{name}: {command}", flush=True)


def environment() -> Mapping[str, str]:
    """No proxy, key or setting of the person who builds the site."""
    kept = {name: value for name, value in os.environ.items() if name in ("LD_LIBRARY_PATH", "PYTHONPATH")}
    return {
        **kept,
        "COLUMNS": str(COLUMNS),
        "FORCE_COLOR": "1",
        "HOME": str(HOME),
        "LANG": "C.UTF-8",
        "PATH": "/usr/bin:/bin",
        "PENSIEVE_HOME": str(HOME),
    }


def drawn(name: str, command: str, output: str) -> str:
    """As SVG, with the reader's own fonts: rich's would come from another server."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(Text.assemble(("$ ", "green"), (command, "bold")))
    console.print(Text.from_ansi(f"{output}\n"))  # without the empty line, the last one is cut at its descenders
    svg = FONT_FACE.sub("", console.export_svg(title="", unique_id=name))
    return svg.replace("Fira Code, monospace", FONTS)


def without_programs(text: str) -> str:
    return PROGRAMS_OF_MACHINE.sub("", text)


def only_servers(text: str, pid: int) -> str:
    header, *rows = text.splitlines()
    return "\n".join([header, *(row for row in rows if row.split()[-1] == str(pid))])


def picture_page(server: ServerProcess) -> None:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        print("status page: left out, since there is no Chromium on this machine (apt-get install chromium)")
        return
    with chromium(program) as browser, running_streams(server.url, 3):
        for scheme in ("light", "dark"):
            with watched(browser, server.url, color_scheme=scheme) as page:
                converse(page)
                page.page.screenshot(path=FOLDER / f"status-page-{scheme}.png", full_page=True)
                print(f"status page: {scheme}", flush=True)


@contextmanager
def chromium(program: str) -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - not needed without Chromium

    with sync_playwright() as playwright:
        browser: Any = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def converse(page: Watched) -> None:
    page.open()
    page.page.fill("#chat-text", QUESTION)
    page.page.press("#chat-text", "Enter")
    page.page.wait_for_selector("#chat-log .assistant .quiet:has-text('tokens/s')")
    for _ in range(5):  # so that the chart has a line
        page.next_health()
    page.page.evaluate("document.activeElement.blur()")
    assert page.problems == [], page.problems


def check_pages() -> None:
    """Each picture is shown on a page, and no page asks for one that is not made here."""
    shown = {name for page in (ROOT / "docs").glob("*.md") for name in MARK.findall(page.read_text(encoding="utf-8"))}
    made = {re.sub("-(light|dark)$", "", path.stem) for path in FOLDER.iterdir()} | {"status-page"}
    assert shown == made, f"only shown: {shown - made}; only made: {made - shown}"


if __name__ == "__main__":
    main()
