"""What speculation brings, beside plain decoding in the same process and run, alternated.

Tokens a pass are counted, so they hold on a busy machine too. Ratios of times are said with the load they were taken
under, and decide only on a machine that has nothing else to do.
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
from pensieve.engine.decoding.decode_step import decode_from_logits
from pensieve.engine.engine import Engine
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.models.files.model_folder import ModelFolder
from perf_gates.loads.shapes import SHAPES
from perf_gates.measuring.measures import STORY
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
"""Runnable processes, on average of a minute and ours among them, up to which a ratio of times decides."""
MEMORY_BYTES = 12_000_000_000


@dataclass(frozen=True, slots=True)
class Completion:
    text: str
    num_tokens: int
    decode_seconds: float


class SwitchableEngine:
    """The same weights decoded plainly and with speculation: two engines would lie differently in memory, which makes
    one of them a few hundredths slower for as long as they live.
    """

    def __init__(self, folder: ModelFolder) -> None:
        self._runner = asyncio.Runner()
        memory = DeviceMemory(MEMORY_BYTES)
        self._engine = self._runner.run(Engine.start(folder, memory, SlidingWindowMonitor(memory.usage)))

    def close(self) -> None:
        self._runner.run(self._engine.aclose())
        self._runner.close()

    def plain(self, prompt: str, num_tokens: int = OUTPUT_TOKENS, *, is_raw: bool = False) -> Completion:
        return self._runner.run(self._said(prompt, num_tokens, is_raw=is_raw, speculates=False))

    def speculated(
        self, prompt: str, num_tokens: int = OUTPUT_TOKENS, *, is_raw: bool = False
    ) -> tuple[Completion, SpeculationCounts]:
        """And what was counted meanwhile."""
        before = self._engine.speculation_counts()
        said = self._runner.run(self._said(prompt, num_tokens, is_raw=is_raw, speculates=True))
        after = self._engine.speculation_counts()
        names = ("proposed", "accepted", "passes", "tokens")
        return said, SpeculationCounts(*(getattr(after, name) - getattr(before, name) for name in names))

    async def _said(self, prompt: str, num_tokens: int, *, is_raw: bool, speculates: bool) -> Completion:
        batch = self._engine._loop._batch
        assert batch is not None
        if speculates:
            batch.speculate(self._engine._pace)
        else:
            decode_from_logits(batch._generator._generation_batch)
        return await _said(self._engine, prompt, num_tokens, is_raw=is_raw)


async def _said(engine: Engine, prompt: str, num_tokens: int, *, is_raw: bool) -> Completion:
    request = GenerationRequest((ChatMessage(Role.USER, prompt),), num_tokens, Sampling(temperature=0.0), is_raw=is_raw)
    text, began = "", 0.0
    async with aclosing(engine.generate(request)) as events:
        async for event in events:
            if isinstance(event, TextGenerated):
                began = began or time.perf_counter()
                text += event.text
            elif isinstance(event, GenerationFinished):
                return Completion(text, event.usage.output_tokens, time.perf_counter() - began)
    raise AssertionError("the stream ended without its last event")


@pytest.fixture(scope="module")
def pair(folder: ModelFolder) -> Iterator[SwitchableEngine]:
    pair = SwitchableEngine(folder)
    pair.plain(STORY)
    pair.speculated(STORY)
    yield pair
    pair.close()


def test_nine_prompts_of_different_kinds_get_the_same_answers(report: Report, pair: SwitchableEngine) -> None:
    differing = [prompt for prompt in PROMPTS if pair.plain(prompt).text != pair.speculated(prompt)[0].text]
    report.add_note(
        f"With speculation, {len(PROMPTS) - len(differing)} of {len(PROMPTS)} answers are the same to the end."
    )
    assert not differing


@dataclass(frozen=True, slots=True)
class SpeculationCase:
    what: str
    prompt: str
    min_ratio: float
    min_tokens_per_pass: float
    num_tokens: int = OUTPUT_TOKENS
    is_raw: bool = False
    rounds: int = 3

    @property
    def copies(self) -> bool:
        """Whether the answer has to come from the prompt for speculation to bring anything."""
        return self.min_tokens_per_pass > 1.0


CASES = (
    SpeculationCase("a file is rewritten with one change", EDIT, 1.8, 2.5),
    SpeculationCase("a text is repeated", SENTENCE * 6, 4.0, 5.0, is_raw=True),
    SpeculationCase("a text is repeated at length", SENTENCE * 12, 4.0, 5.0, num_tokens=192, is_raw=True),
    SpeculationCase("free text is written", STORY, 0.97, 1.0, num_tokens=48, rounds=24),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_what_repeats_is_decoded_faster_and_nothing_slower(
    pytestconfig: pytest.Config, report: Report, pair: SwitchableEngine, case: SpeculationCase
) -> None:
    ratios, per_pass, is_same = [], [], True
    for number in range(case.rounds):
        ratio, counts, agrees = _compared(pair, case, plain_first=number % 2 == 0)
        ratios.append(ratio)
        per_pass.append(counts.tokens_per_pass)
        is_same &= agrees
    ratio, load = statistics.median(ratios), os.getloadavg()[0]
    report.add_note(
        f"Where {case.what}, speculation decodes {statistics.median(per_pass):.2f} tokens a pass, at {ratio:.2f} times "
        f"the speed of plain decoding (median of {case.rounds} pairs, load {load:.1f})."
    )
    assert is_same, "speculation changed the answer"
    if case.copies and pytestconfig.getoption("--shape") in SHAPES:
        pytest.skip("said above; a model of random weights copies nothing, so what speculation brings it is no measure")
    assert statistics.median(per_pass) >= case.min_tokens_per_pass
    if load <= QUIET_LOAD:
        assert ratio >= case.min_ratio, f"expected at least {case.min_ratio}, actual {ratio:.2f}"


def _compared(
    pair: SwitchableEngine, case: SpeculationCase, *, plain_first: bool
) -> tuple[float, SpeculationCounts, bool]:
    """How much faster it is with speculation, what was counted, and whether the answers are the same."""
    plain = pair.plain(case.prompt, case.num_tokens, is_raw=case.is_raw) if plain_first else None
    speculated, counts = pair.speculated(case.prompt, case.num_tokens, is_raw=case.is_raw)
    plain = plain or pair.plain(case.prompt, case.num_tokens, is_raw=case.is_raw)
    return plain.decode_seconds / speculated.decode_seconds, counts, speculated.text == plain.text
