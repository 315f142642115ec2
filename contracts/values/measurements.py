"""Measurements of a running server, and the alerts that they raise (S4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from contracts.values.vocabulary import ClientIdentity


class OperationPhase(Enum):
    """The phase of a generation that a record describes (S6)."""

    STARTED = "generation_start"
    PROGRESS = "generation_progress"
    COMPLETED = "generation_complete"
    FAILED = "generation_error"
    CANCELLED = "generation_cancelled"

    @property
    def is_last(self) -> bool:
        return self in _LAST_PHASES


_LAST_PHASES = frozenset({OperationPhase.COMPLETED, OperationPhase.FAILED, OperationPhase.CANCELLED})


@dataclass(frozen=True, slots=True)
class OperationMetrics:
    """One record of one generation. `duration_ms` counts from the request's acceptance, and `token_intervals_seconds`
    are the times between its tokens since the record before.
    """

    phase: OperationPhase
    duration_ms: float
    tokens_generated: int
    memory_peak_bytes: int
    device_share_percent: float
    success: bool
    time_to_first_token_ms: float | None = None
    model: str = ""
    token_intervals_seconds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class PerformanceStats:
    """Figures over a sliding window of `window_seconds`; rates are per second of its elapsed part."""

    requests_per_second: float
    tokens_per_second: float
    average_latency_ms: float
    p95_latency_ms: float
    memory_utilization_percent: float
    gpu_utilization_percent: float
    error_rate_percent: float
    window_seconds: float


@dataclass(frozen=True, slots=True)
class RequestTotals:
    """Totals since the server started. `completed_seconds` covers completed requests only."""

    ended: Mapping[OperationPhase, int]
    completed_seconds: float
    num_first_tokens: int
    first_token_seconds: float
    tokens_generated: int

    @property
    def num_completed(self) -> int:
        return self.ended[OperationPhase.COMPLETED]


class RequestStage(Enum):
    """Where an open request is. An answer that has ended waits for its client to read the rest of it."""

    WAITING = "waiting"
    PREFILLING = "prefilling"
    ANSWERING = "answering"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class RequestProgress:
    """An open request, without its text. `prefilled_tokens` of the prompt are computed, with the `cached_tokens` that
    were read. `differs_in` names the part of the prompt from which on the prompt cache had nothing. Seconds count from
    the request's acceptance.
    """

    stage: RequestStage
    prompt_tokens: int
    cached_tokens: int
    prefilled_tokens: int
    output_tokens: int
    max_output_tokens: int
    seconds: float
    first_token_seconds: float | None = None
    differs_in: str = ""
    client: ClientIdentity = ClientIdentity()  # noqa: RUF009 - frozen


class PressureStep(Enum):
    """The measures taken when memory runs short, in this order (G-R2)."""

    RECLAIM_BUFFERS = "buffers_reclaimed"
    SHRINK_STORE = "stored_prompts_shrunk"
    SHRINK_CHUNKS = "prefill_chunks_shrunk"
    REFUSE = "requests_refused"


@dataclass(frozen=True, slots=True)
class MemoryPressure:
    """The steps in force now, how often each was taken so far, and the resulting prefill chunk in tokens."""

    active: tuple[PressureStep, ...] = ()
    times: Mapping[PressureStep, int] = field(default_factory=dict)
    chunk_tokens: int = 0

    def __add__(self, other: MemoryPressure) -> MemoryPressure:
        """Two models combined, with the smaller chunk of those that are set."""
        return MemoryPressure(
            tuple(step for step in PressureStep if step in (*self.active, *other.active)),
            {step: self.times.get(step, 0) + other.times.get(step, 0) for step in PressureStep},
            min(filter(None, (self.chunk_tokens, other.chunk_tokens)), default=0),
        )


@dataclass(frozen=True, slots=True)
class DiskWrites:
    """What was written for the prompt cache in the last 24 hours, and what was left out since the start because more
    than the `limit_bytes` of a day would have been written. Without a limit that is None.
    """

    day_bytes: int = 0
    limit_bytes: int | None = None
    skipped_bytes: int = 0


@dataclass(frozen=True, slots=True)
class SpeculationCounts:
    """The results of speculative decoding since the start.

    The model accepted `accepted` of the `proposed` draft tokens. `tokens` were decoded in `passes`; a pass counts once
    for each request in it, so plain decoding has one token per pass.
    """

    proposed: int = 0
    accepted: int = 0
    passes: int = 0
    tokens: int = 0

    def __add__(self, other: SpeculationCounts) -> SpeculationCounts:
        return SpeculationCounts(
            self.proposed + other.proposed,
            self.accepted + other.accepted,
            self.passes + other.passes,
            self.tokens + other.tokens,
        )

    @property
    def tokens_per_pass(self) -> float:
        """1.0 before anything was decoded."""
        return self.tokens / self.passes if self.passes else 1.0


class AlertType(Enum):
    HIGH_LATENCY = "high_latency"
    LOW_THROUGHPUT = "low_throughput"
    HIGH_MEMORY_USAGE = "high_memory_usage"
    HIGH_ERROR_RATE = "high_error_rate"


class AlertSeverity(Enum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class PerformanceAlert:
    alert_type: AlertType
    metric: str
    current_value: float
    threshold: float
    severity: AlertSeverity


@dataclass(frozen=True, slots=True)
class AlertThresholds:
    """An alert fires beyond these values, and is critical beyond `critical_` ones. By default throughput does not."""

    p95_latency_ms: float = 60_000.0
    tokens_per_second: float = 0.0
    memory_utilization_percent: float = 80.0
    error_rate_percent: float = 5.0
    critical_memory_utilization_percent: float = 95.0
    critical_error_rate_percent: float = 25.0
