"""Tools that Anthropic defines and the client runs: bash, the text editor, memory (client_tools.toml)."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class ClientTool:
    """One version of a tool. Every call has its name, and input that matches its schema."""

    name: str
    description: str
    input_schema: str
    limits_characters: bool = False
    """Whether a request may set max_characters, the length at which the client cuts off a file that is viewed."""

    def described(self, max_characters: int | None) -> str:
        if max_characters is None:
            return self.description
        return (
            f"{self.description} At most {max_characters} characters of a file are shown: use view_range for the rest."
        )


@cache
def client_tools() -> Mapping[str, ClientTool]:
    """By type, such as bash_20250124."""
    text = (files("pensieve.api.anthropic.tools") / "client_tools.toml").read_text(encoding="utf-8")
    return {kind: _tool(entry) for entry in tomllib.loads(text)["tool"] for kind in entry["types"]}


def _tool(entry: Mapping[str, Any]) -> ClientTool:
    schema = _schema(entry["properties"], entry["forms"])
    return ClientTool(
        entry["name"],
        entry["description"],
        json.dumps(schema, ensure_ascii=False),
        entry.get("limits_characters", False),
    )


def _schema(properties: Mapping[str, Any], forms: list[Mapping[str, Any]]) -> dict[str, Any]:
    """An object in one of the forms. What all of them require is also required at the top, which is all that some chat
    templates show.
    """
    alternatives = [_alternative(form) for form in forms]
    return {
        "type": "object",
        "properties": properties,
        "required": [key for key in properties if all(key in each["required"] for each in alternatives)],
        "additionalProperties": False,
        "anyOf": alternatives,
    }


def _alternative(form: Mapping[str, Any]) -> dict[str, Any]:
    fixed, required = form.get("fixed", {}), form.get("requires", [])
    values = {key: {"const": value} for key, value in fixed.items()}
    others: dict[str, Any] = {key: {} for key in (*required, *form.get("allows", ()))}
    return {"properties": values | others, "required": [*fixed, *required], "additionalProperties": False}
