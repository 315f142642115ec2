"""The gain of speculation over plain decoding, alternated in the same process.

Tokens per pass are counted, so they are reliable on a busy machine too. Ratios of times are reported together with the
load average and decide only on an idle machine.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass

import pytest

from contracts.values.generation import GenerationFinished, TextGenerated
from contracts.values.measurements import SpeculationCounts
from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Sampling
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.engine import Engine
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.models.files.model_folder import ModelFolder
from perf_gates.loads.shapes import SHAPES
from perf_gates.measuring.measures import STORY
from perf_gates.measuring.noted_parts import NotedParts, noting
from perf_gates.reporting.report import Report

CODE = """import json

class Store:
    def __init__(self, path):
        self.path = path
        self.items = {}

    def load(self):
        with open(self.path) as file:
            self.items = json.load(file)

    def save(self):
        with open(self.path, "w") as file:
            json.dump(self.items, file)

    def add(self, key, value):
        self.items[key] = value
        self.save()
"""
EDIT = f"Here is a file:\n```python\n{CODE}```\n"
EDIT += "Rewrite the whole file with `path` renamed to `name`. Answer with it alone."
SENTENCE = "The quick brown fox jumps over the lazy dog near the old stone bridge. "
PROMPTS = (
    STORY,
    EDIT,
    "What is the capital of France?",
    "List the days of the week.",
    f"Explain this code.\n```python\n{CODE}```",
    "Count from 1 to 40, separated by commas.",
    "Translate to French: The weather is nice today and we will go to the beach.",
    'Write {"name": "Ada", "age": 36} three times, each on a line of its own.',
    "Write a poem about rain in which each line begins with the word Rain.",
)
OUTPUT_TOKENS = 96
QUIET_LOAD = 3.0
"""The highest one-minute load average, ours included, at which ratios of times decide."""
MEMORY_BYTES = 12_000_000_000


@dataclass(frozen=True, slots=True)
class Completion:
    text: str
    num_tokens: int
    decode_seconds: float


class SwitchableEngine:
    """One engine whose speculation can be switched on and off.

    Two engines would differ by a few percent, because their weights lie differently in memory.
    """

    def __init__(self, folder: ModelFolder) -> None:
        self._runner = asyncio.Runner()
        memory = DeviceMemory(MEMORY_BYTES)
        made: list[NotedParts] = []
        monitor = SlidingWindowMonitor(memory.usage)
        self._engine = self._runner.run(Engine.start(folder, memory, monitor, load=noting(made.append)))
        (self._parts,) = made

    def close(self) -> None:
        self._runner.run(self._engine.aclose())
        self._runner.close()

    def plain(self, prompt: str, num_tokens: int = OUTPUT_TOKENS, *, is_raw: bool = False) -> Completion:
        return self._runner.run(self._complete(prompt, num_tokens, is_raw=is_raw, speculates=False))

    def speculated(
        self, prompt: str, num_tokens: int = OUTPUT_TOKENS, *, is_raw: bool = False
    ) -> tuple[Completion, SpeculationCounts]:
        """The answer, and the counts of this request alone."""
        before = self._engine.speculation_counts()
        completion = self._runner.run(self._complete(prompt, num_tokens, is_raw=is_raw, speculates=True))
        after = self._engine.speculation_counts()
        names = ("proposed", "accepted", "passes", "tokens")
        return completion, SpeculationCounts(*(getattr(after, name) - getattr(before, name) for name in names))

    async def _complete(self, prompt: str, num_tokens: int, *, is_raw: bool, speculates: bool) -> Completion:
        self._parts.batch.speculate(self._parts.pace if speculates else None)
        return await _complete(self._engine, prompt, num_tokens, is_raw=is_raw)


async def _complete(engine: Engine, prompt: str, num_tokens: int, *, is_raw: bool) -> Completion:
    request = GenerationRequest((ChatMessage(Role.USER, prompt),), num_tokens, Sampling(temperature=0.0), is_raw=is_raw)
    text, began = "", 0.0
    async with aclosing(engine.generate(request)) as events:
        async for event in events:
            if isinstance(event, TextGenerated):
                began = began or time.perf_counter()
                text += event.text
            elif isinstance(event, GenerationFinished):
                return Completion(text, event.usage.output_tokens, time.perf_counter() - began)
    raise AssertionError("the stream ended without GenerationFinished")


@pytest.fixture(scope="module")
def engine(folder: ModelFolder) -> Iterator[SwitchableEngine]:
    engine = SwitchableEngine(folder)
    engine.plain(STORY)
    engine.speculated(STORY)
    yield engine
    engine.close()


def test_speculation_does_not_change_the_answers_to_nine_prompts(report: Report, engine: SwitchableEngine) -> None:
    differing = [prompt for prompt in PROMPTS if engine.plain(prompt).text != engine.speculated(prompt)[0].text]
    report.add_note(
        f"With speculation, {len(PROMPTS) - len(differing)} of {len(PROMPTS)} answers are the same to the end."
    )
    assert not differing


@dataclass(frozen=True, slots=True)
class SpeculationCase:
    title: str
    prompt: str
    min_ratio: float
    min_tokens_per_pass: float
    num_tokens: int = OUTPUT_TOKENS
    is_raw: bool = False
    rounds: int = 3

    @property
    def copies_the_prompt(self) -> bool:
        """Whether speculation gains only if the answer repeats parts of the prompt."""
        return self.min_tokens_per_pass > 1.0


CASES = (
    SpeculationCase("a file is rewritten with one change", EDIT, 1.8, 2.5),
    SpeculationCase("a text is repeated", SENTENCE * 6, 4.0, 5.0, is_raw=True),
    SpeculationCase("a text is repeated at length", SENTENCE * 12, 4.0, 5.0, num_tokens=192, is_raw=True),
    SpeculationCase("free text is written", STORY, 0.97, 1.0, num_tokens=48, rounds=24),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_speculation_speeds_up_repetition_and_slows_nothing_down(
    pytestconfig: pytest.Config, report: Report, engine: SwitchableEngine, case: SpeculationCase
) -> None:
    ratios, per_pass, is_same = [], [], True
    for number in range(case.rounds):
        ratio, counts, agrees = _compare(engine, case, plain_first=number % 2 == 0)
        ratios.append(ratio)
        per_pass.append(counts.tokens_per_pass)
        is_same &= agrees
    ratio, load = statistics.median(ratios), os.getloadavg()[0]
    report.add_note(
        f"Where {case.title}, speculation decodes {statistics.median(per_pass):.2f} tokens per pass at "
        f"{ratio:.2f} times the speed of plain decoding (median of {case.rounds} pairs, load {load:.1f})."
    )
    assert is_same, "speculation changed the answer"
    if case.copies_the_prompt and pytestconfig.getoption("--shape") in SHAPES:
        pytest.skip("reported only: a model of random weights does not copy, so speculation cannot gain anything")
    assert statistics.median(per_pass) >= case.min_tokens_per_pass
    if load <= QUIET_LOAD:
        assert ratio >= case.min_ratio, f"expected at least {case.min_ratio}, actual {ratio:.2f}"


def _compare(
    engine: SwitchableEngine, case: SpeculationCase, *, plain_first: bool
) -> tuple[float, SpeculationCounts, bool]:
    """The speed-up, the counts of the request with speculation, and whether both answers are equal."""
    plain = engine.plain(case.prompt, case.num_tokens, is_raw=case.is_raw) if plain_first else None
    speculated, counts = engine.speculated(case.prompt, case.num_tokens, is_raw=case.is_raw)
    plain = plain or engine.plain(case.prompt, case.num_tokens, is_raw=case.is_raw)
    return plain.decode_seconds / speculated.decode_seconds, counts, speculated.text == plain.text
