"""On a terminal, what takes long has a bar as long as it lasts."""

import io

from rich.console import Console

from contracts.values.measurements import RequestProgress, RequestStage
from pensieve.cli.serve.log.terminal_progress import MAX_BARS, MIN_SECONDS, Bar, TerminalProgress, bars
from pensieve.serving.registry import ModelState, ModelStatus


def request(stage: RequestStage, seconds: float = 10.0) -> RequestProgress:
    return RequestProgress(stage, 50_000, 1_000, 12_000, 0, 100, seconds)


def model(*requests: RequestProgress, status: ModelStatus = "loaded") -> ModelState:
    return ModelState("coder", status, requests, None, 0)


def test_a_model_that_loads_and_a_long_prompt_have_a_bar() -> None:
    long = request(RequestStage.PREFILLING)
    short = request(RequestStage.PREFILLING, seconds=MIN_SECONDS / 2)
    others = [request(stage) for stage in RequestStage if stage is not RequestStage.PREFILLING]
    assert bars([model(status="loading"), model(short, *others, long)]) == [
        Bar("loading coder"),
        Bar("coder: 12,000 of 50,000 tokens, 10 s", 12_000, 50_000),
    ]


def test_many_prompts_do_not_fill_the_terminal() -> None:
    assert len(bars([model(*100 * [request(RequestStage.PREFILLING)])])) == MAX_BARS


def test_bars_come_and_go_below_the_lines_of_the_log() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80, color_system=None)
    progress = TerminalProgress(console, tuple)
    progress.show([])
    assert file.getvalue() == ""
    progress.show([Bar("loading coder"), Bar("coder: 1 of 2 tokens", 1, 2)])
    console.print("a line of the log")
    before = file.getvalue()
    assert before.rindex("a line of the log") < before.rindex("loading coder") < before.rindex("coder: 1 of 2 tokens")
    progress.show([])
    after = file.getvalue()[len(before) :]
    console.print("the next line")
    assert file.getvalue().endswith("the next line\n")
    assert "\x1b[2K" in after, "the bars are erased"
