"""The contracts as executable checks: each puts an implementation through every clause and promise of a Protocol.

    check_memory(MyMemory)                     # make: returns the implementation
    await check_inference_model(my_model)      # make: returns an async context manager that gives it

One convention for all. `make` is called for every fresh implementation that a check wants. For the Protocols of plain
methods it returns the implementation; for those with streams it returns an async context manager that gives it, so
that a factory may await, and clean up whatever its implementation stands on. A check returns nothing, or raises the
ContractViolation of the first clause that does not hold. No test framework is needed, and no network.
"""

from contracts.checks.inference import check_inference_model
from contracts.checks.memory import check_memory
from contracts.checks.models import check_model_manager
from contracts.checks.performance import check_performance_monitor
from contracts.checks.questions import Questions
from contracts.checks.requests import check_request_handler

__all__ = [
    "Questions",
    "check_inference_model",
    "check_memory",
    "check_model_manager",
    "check_performance_monitor",
    "check_request_handler",
]
