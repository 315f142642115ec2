"""Calls as Qwen3-Coder and its kin write them (W14): tags around values, text as it is, everything else as JSON.

    <tool_call>
    <function=get_weather>
    <parameter=city>
    Paris
    </parameter>
    </function>
    </tool_call>

Source: the chat template of Qwen3-Coder. What is held here is exactly what is read here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from contracts.vocabulary import Tool
from pensieve.core.dialects.json_rule import json_rule

VALUE_END = "\n</parameter>\n"
_FUNCTION = re.compile(r"\s*<function=([^>\n]+)>\n?(.*?)\n?</function>\s*", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\n]+)>\n?(.*?)\n?</parameter>", re.DOTALL)
_DEFINITIONS = ("$defs", "definitions")


def parse_xml_call(body: str, tools: Sequence[Tool]) -> list[tuple[str, str]]:
    """The one call between the marks: its name and the JSON of its arguments.

    Raises:
        ValueError: it is no call of this form.
    """
    found = _FUNCTION.fullmatch(body)
    if found is None:
        raise ValueError("a call is a function with its parameters")
    name = found[1].strip()
    properties = next((_properties(json.loads(tool.input_schema)) for tool in tools if tool.name == name), {})
    arguments = {key: _value(text, properties.get(key)) for key, text in _PARAMETER.findall(found[2])}
    return [(name, json.dumps(arguments, ensure_ascii=False))]


def xml_call_rules(tool: Tool, number: int, *, lenient: bool) -> Iterator[tuple[str, str]]:
    """The rules of a grammar for the call of a tool, from after the opening mark to before the closing one.

    The first is `function_<number>`. Parameters come in the schema's order, the required ones always. Patterns and
    lengths of strings are not held: text stands here without the quotes that the rules of JSON begin with.
    """
    schema = json.loads(tool.input_schema)
    properties, required = _properties(schema), schema.get("required", ())
    places = [f"parameter_{number}_{place}" for place in range(len(properties))]
    told = " ".join(
        place if key in required else f"{place}?" for place, key in zip(places, properties, strict=True)
    ) or (f"anything_{number}*" if schema.get("additionalProperties") is not False else "")
    yield f"function_{number}", f'{json.dumps(f"{chr(10)}<function={tool.name}>{chr(10)}")} {told} "</function>\\n"'
    for place, (key, wanted) in zip(places, properties.items(), strict=True):
        definitions = {name: schema[name] for name in _DEFINITIONS if name in schema}
        yield place, f"{json.dumps(f'<parameter={key}>{chr(10)}', ensure_ascii=False)} value_{place}"
        yield from _value_rule(f"value_{place}", wanted, definitions, lenient=lenient)
    if "anything" in told:
        yield f"anything_{number}", f'"<parameter=" /[^<>\\s]+/ ">\\n" anything_text_{number}'
        yield _free_text(f"anything_text_{number}")


def _value_rule(name: str, wanted: Any, definitions: Mapping[str, Any], *, lenient: bool) -> Iterator[tuple[str, str]]:
    if _is_text(wanted):
        choices = wanted.get("enum", [wanted["const"]] if "const" in wanted else [])
        if choices:
            yield name, " | ".join(json.dumps(choice + VALUE_END, ensure_ascii=False) for choice in choices)
        else:
            yield _free_text(name)
        return
    schema = {**wanted, **definitions} if isinstance(wanted, dict) else wanted
    yield f"json_{name}", json_rule(schema, lenient=lenient)
    yield name, f"json_{name} {json.dumps(VALUE_END)}"


def _free_text(name: str) -> tuple[str, str]:
    return f"{name}[suffix={json.dumps(VALUE_END)}]", r"/(.|\n)*/"


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = schema.get("properties")
    return properties if isinstance(properties, dict) else {}


def _is_text(wanted: Any) -> bool:
    """Whether a value is text and nothing else, so that it is written without quotes."""
    if not isinstance(wanted, dict):
        return False
    choices = wanted.get("enum", [wanted["const"]] if "const" in wanted else [])
    if choices:
        return all(isinstance(choice, str) for choice in choices)
    return wanted.get("type") == "string"


def _value(text: str, wanted: Any) -> object:
    if _is_text(wanted):
        return text
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value
