"""What an answer is held to where the model's vocabulary cannot be read."""

from dataclasses import replace

import pytest

from contracts.vocabulary import ChatMessage, GenerationRequest, ModelFeature, Role, Tool, ToolChoice, ToolMode
from pensieve.core.errors import ValidationError
from pensieve.engine.grammar import Grammars
from pensieve.models.load import LoadedModel, load
from pensieve.models.sources import ModelFolder

TOOL = Tool("act", "Act", '{"type": "object"}')
PLAIN = GenerationRequest((ChatMessage(Role.USER, "Go."),), max_tokens=8)


@pytest.fixture
def unreadable(tiny_folder: ModelFolder) -> LoadedModel:
    """The tiny model, as if its tokenizer were written in Python."""
    model = load(tiny_folder)
    return replace(model, features=model.features - {ModelFeature.JSON_MODE, ModelFeature.TOOL_CALLING})


@pytest.mark.parametrize(
    ("request_for_it", "field"),
    [
        (replace(PLAIN, tools=(TOOL,), tool_choice=ToolChoice(ToolMode.ANY)), "tool_choice"),
        (replace(PLAIN, output_schema=TOOL.input_schema), "output_config.format"),
    ],
)
def test_what_must_be_held_and_cannot_be_is_refused(
    unreadable: LoadedModel, request_for_it: GenerationRequest, field: str
) -> None:
    with pytest.raises(ValidationError, match=r"tokenizer\.json") as caught:
        Grammars(unreadable).matcher_for(request_for_it, starts_thinking=False)
    assert caught.value.field == field


def test_what_need_not_be_held_is_free(unreadable: LoadedModel) -> None:
    assert Grammars(unreadable).matcher_for(replace(PLAIN, tools=(TOOL,)), starts_thinking=False) is None
