import pytest

from pensieve.cli.wiring import capacity_bytes
from pensieve.core.errors import ValidationError

GB = 1000**3


@pytest.mark.parametrize(
    ("machine_bytes", "expected_bytes"), [(64 * GB, 12 * GB), (16 * GB, 12 * GB), (8 * GB, 6 * GB)]
)
def test_without_a_limit_it_is_twelve_gigabytes_or_three_quarters_of_what_there_is(
    machine_bytes: int, expected_bytes: int
) -> None:
    assert capacity_bytes(None, machine_bytes) == expected_bytes


def test_a_limit_holds_as_it_is_given() -> None:
    assert capacity_bytes(15 * GB, 16 * GB) == 15 * GB


def test_a_limit_over_what_there_is_is_refused_with_both_figures() -> None:
    with pytest.raises(ValidationError, match=r"--memory-limit: 20\.0 GB are more than the 16\.0 GB"):
        capacity_bytes(20 * GB, 16 * GB)
