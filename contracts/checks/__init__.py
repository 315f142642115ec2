"""The contracts as executable checks: each checks an implementation against every clause and promise of a Protocol.

    check_memory(MyMemory)                     # make: returns the implementation
    await check_inference_model(my_model)      # make: returns an async context manager that yields it

`make` is called whenever a check needs a new implementation. For Protocols with plain methods it returns the
implementation; for Protocols with streams it returns an async context manager that yields it, so that a factory may
await and clean up. A check returns nothing, or raises the ContractViolation of the first clause that does not hold.
Checks need neither a test framework nor a network.
"""

from contracts.checks.inference import check_inference_model
from contracts.checks.memory import check_memory
from contracts.checks.models import check_model_manager
from contracts.checks.performance import check_performance_monitor
from contracts.checks.requests import check_request_handler
from contracts.checks.sample_requests import SampleRequests

__all__ = [
    "SampleRequests",
    "check_inference_model",
    "check_memory",
    "check_model_manager",
    "check_performance_monitor",
    "check_request_handler",
]
