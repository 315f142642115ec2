"""The messages of a chat request, as OpenAI's API reference defines them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag

from pensieve.api.http.wire_model import Blocks, Kind, Name, WireModel, known, only

NO_FUNCTIONS = "deprecated and not supported: send tools and tool_choice"
NO_CUSTOM_TOOLS = "custom tools are not supported: send a function with one string parameter"
_NO_FUNCTION_ROLE = "'function' is deprecated and not supported: send tool_calls and 'tool'"
ROLES = ("system", "developer", "user", "assistant", "tool")


class TextPart(WireModel):
    type: Literal["text"]
    text: str


class RefusalPart(WireModel):
    type: Literal["refusal"]
    refusal: str


class FileData(WireModel):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class FilePart(WireModel):
    type: Literal["file"]
    file: FileData


class OtherPart(WireModel):
    """An image, audio, or a kind of part that is not known yet."""

    type: Kind


def _kind_of_part(part: Any) -> str:
    kind = part.get("type") if isinstance(part, dict) else getattr(part, "type", None)
    return f"{kind} part" if kind in ("text", "refusal", "file") else "other"


Part = Annotated[
    Annotated[TextPart, Tag("text part")]
    | Annotated[RefusalPart, Tag("refusal part")]
    | Annotated[FilePart, Tag("file part")]
    | Annotated[OtherPart, Tag("other")],
    Discriminator(_kind_of_part),
]


def kind_of_value(value: Any) -> str:
    return "blocks" if isinstance(value, list | tuple) else "string"


PartsOrText = Annotated[
    Annotated[str | None, Tag("string")] | Annotated[Blocks[Part], Tag("blocks")], Discriminator(kind_of_value)
]


class CalledFunction(WireModel):
    """Most clients send `arguments` as JSON text. Some send the object itself, or null for a call without any."""

    name: Name
    arguments: Any = None


class ChatToolCall(WireModel):
    type: Annotated[str, known(("function",), {"custom": NO_CUSTOM_TOOLS})] = "function"
    id: Name
    function: CalledFunction


class ChatTurn(WireModel):
    """`name` is ignored: chat templates have no place for it. Newer servers call `reasoning_content` `reasoning`."""

    role: Annotated[str, known(ROLES, {"function": _NO_FUNCTION_ROLE})]
    content: PartsOrText = None
    refusal: str | None = None
    tool_calls: Blocks[ChatToolCall] | None = None
    tool_call_id: Name | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    function_call: Annotated[Any, only((), instead="deprecated and not supported: send tool_calls")] = None
    audio: Annotated[Any, only((), instead="audio answers are not supported: send their transcript as content")] = None
