"""Precedence: the request, the operator's settings for the model, those for all models, the makers, the API."""

from __future__ import annotations

import pytest

from contracts.values.vocabulary import ChatMessage, GenerationRequest, Prompt, Role, Sampling, Thinking
from pensieve.core.defaults.model_settings import ModelSettings, ThinkingMode
from pensieve.core.defaults.sampling import API_DEFAULTS

HI = (ChatMessage(Role.USER, "Hi"),)
OFF = ModelSettings(thinking=ThinkingMode.OFF)


def thinking_under(settings: ModelSettings, requested: Thinking) -> Thinking:
    thinking = settings.request(GenerationRequest(HI, 8, thinking=requested)).thinking
    assert settings.prompt(Prompt(HI, (), requested)).thinking == thinking, "token counting and generation would differ"
    return thinking


def test_settings_of_a_model_override_general_ones() -> None:
    makers = Sampling(temperature=0.6, top_p=0.95, top_k=20)
    general, own = ModelSettings(Sampling(temperature=0.5, min_p=0.1)), ModelSettings(Sampling(min_p=0.2))
    held = own.over(general).over_makers(makers)
    assert held.sampling == Sampling(0.5, 0.95, 20, 0.2, 1.0, 0.0, 0.0)
    requested = GenerationRequest(HI, 8, Sampling(temperature=0.9, top_k=0))
    assert held.request(requested).sampling == Sampling(0.9, 0.95, 0, 0.2, 1.0, 0.0, 0.0)


def test_the_api_defaults_apply_if_nothing_else_is_set() -> None:
    held = ModelSettings().over_makers(Sampling())
    assert held.request(GenerationRequest(HI, 8)).sampling == API_DEFAULTS


def test_one_model_may_think_where_the_others_may_not() -> None:
    assert OFF.over(ModelSettings()).thinking is ThinkingMode.OFF
    assert ModelSettings().over(OFF).thinking is ThinkingMode.OFF
    assert ModelSettings(thinking=ThinkingMode.AUTO).over(OFF).thinking is ThinkingMode.AUTO
    assert ModelSettings(max_thinking_tokens=5).over(ModelSettings(max_thinking_tokens=9)).max_thinking_tokens == 5


@pytest.mark.parametrize("requested", [Thinking(), Thinking(enabled=True), Thinking(enabled=True, effort="max")])
def test_thinking_off_overrides_every_request(requested: Thinking) -> None:
    assert thinking_under(OFF, requested) == Thinking(budget_tokens=0, effort="minimal")


def test_thinking_off_keeps_earlier_thinking_in_the_prompt() -> None:
    assert thinking_under(OFF, Thinking(enabled=True, keeps_past=True)).keeps_past is True


@pytest.mark.parametrize(
    ("requested", "budget_tokens"),
    [
        (Thinking(), 1500),
        (Thinking(enabled=True), 1500),
        (Thinking(enabled=True, budget_tokens=2000), 1500),
        (Thinking(enabled=True, budget_tokens=1024), 1024),
    ],
)
def test_a_cap_lowers_budgets_and_raises_none(requested: Thinking, budget_tokens: int) -> None:
    capped = thinking_under(ModelSettings(max_thinking_tokens=1500), requested)
    assert (capped.enabled, capped.budget_tokens) == (requested.enabled, budget_tokens)


def test_without_a_setting_the_request_decides_about_thinking() -> None:
    requested = Thinking(enabled=True, budget_tokens=1024, effort="low", keeps_past=False)
    assert thinking_under(ModelSettings(), requested) == requested
    assert thinking_under(ModelSettings(thinking=ThinkingMode.AUTO), requested) == requested
