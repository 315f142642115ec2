"""Writes docs/clients.md: the configurations as they were tried, and the table of outcomes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.clients.client import PROGRAMS, Client, load_clients
from tests.clients.outcome import load_outcomes, table

PAGE: Final = Path(__file__).parents[2] / "docs/clients.md"
URL: Final = "http://127.0.0.1:8765"
MODEL: Final = "MODEL"
_LANGUAGES: Final = {".py": "python", ".mjs": "js", ".json": "json", ".yaml": "yaml"}


def write() -> None:
    clients = load_clients()
    template = Path(__file__).with_name("page.md").read_text(encoding="utf-8")
    configurations = "\n\n".join(f"## {client.name}\n\n{configuration(client)}" for client in clients)
    order = [client.name for client in clients]
    rows = table(order, load_outcomes(), PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(template.format(configurations=configurations, table=rows), encoding="utf-8")


def configuration(client: Client) -> str:
    parts = [client.advice, *_files(client), _commands(client), *_snippets(client)]
    return "\n\n".join(part for part in parts if part)


def _files(client: Client) -> Iterator[str]:
    for name, text in client.files.items():
        path = name.replace("{home}", "~")
        yield f"`{path}`:\n\n" + _block(_LANGUAGES.get(Path(path).suffix, ""), _filled(text).strip())


def _commands(client: Client) -> str:
    lines = [f"export {name}={_filled(value)}" for name, value in client.environment.items()]
    lines += [_filled(" ".join(command)) for command in client.setup]
    if client.first and not client.files:
        lines.append(_filled(" ".join(_without_test(client.first))))
    return _block("sh", "\n".join(lines)) if lines else ""


def _without_test(command: tuple[str, ...]) -> list[str]:
    """The command up to the first argument that only a test needs."""
    kept: list[str] = []
    for argument in command:
        if argument in ("-s", "-p", "--message", "--yes-always", "--allowedTools", "--yolo", "--functions"):
            break
        kept.append(argument)
    return kept


def _snippets(client: Client) -> Iterator[str]:
    """The lines between `configure: NAME` and `end` in the client's program."""
    for part in client.program:
        if part.startswith("{programs}"):
            path = PROGRAMS / part.removeprefix("{programs}/")
            text = path.read_text(encoding="utf-8")
            for found in re.finditer(r"(?ms)^( *)(?:#|//) configure: ([^\n]*)\n(.*?)\n *(?:#|//) end$", text):
                if found[2] == client.name:
                    lines = [line.removeprefix(found[1]) for line in found[3].splitlines()]
                    yield _block(_LANGUAGES[path.suffix], _literal("\n".join(lines)))


def _literal(code: str) -> str:
    """The code with the server's address and model in place of the variables that a test sets."""
    variable = r"(?:os\.environ\[\"{0}\"\]|process\.env\.{0}\b)"
    code = re.sub(variable.format("PENSIEVE_URL") + r' \+ "([^"]*)"', rf'"{URL}\1"', code)
    code = re.sub(variable.format("PENSIEVE_URL"), f'"{URL}"', code)
    code = re.sub(r'"([^"]*)" \+ ' + variable.format("PENSIEVE_MODEL"), rf'"\1{MODEL}"', code)
    return re.sub(variable.format("PENSIEVE_MODEL"), f'"{MODEL}"', code)


def _filled(text: str) -> str:
    return text.replace("{bin}/", "").replace("{url}", URL).replace("{model}", MODEL)


def _block(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"
