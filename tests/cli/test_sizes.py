"""The one way to read a size and the one way to print it."""

import pytest

from pensieve.cli.sizes import (
    Share,
    bytes_of,
    format_duration,
    format_gigabytes,
    format_size,
    parse_size,
    parse_size_or_share,
)

MB, GB = 10**6, 10**9


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [
        ("0", 0),
        ("512", 512),
        ("512B", 512),
        ("26k", 26_000),
        ("512MB", 512 * MB),
        ("512 MB", 512 * MB),
        ("1.5g", 1_500_000_000),
        ("1.5 gb", 1_500_000_000),
        (" 2G ", 2 * GB),
        ("1TB", 1000 * GB),
        ("1KiB", 1024),
        ("1.5Mi", 3 * 2**19),
        ("1GiB", 2**30),
        ("2 TiB", 2**41),
    ],
)
def test_a_size_is_a_number_with_an_optional_unit(text: str, num_bytes: int) -> None:
    assert parse_size(text) == parse_size_or_share(text) == num_bytes


@pytest.mark.parametrize("text", ["", "much", "-1", "-1GB", "1,5GB", "1e9", "GB", "5 %", "1PB", "1 i", "\u0661GB"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size: write 512MB"):
        parse_size(text)


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (0, "0.0 MB"),
        (26_000, "0.0 MB"),
        (1_250_000, "1.2 MB"),
        (999 * MB, "999.0 MB"),
        (GB, "1.00 GB"),
        (-3 * GB, "-3.00 GB"),
    ],
)
def test_a_size_is_printed_in_megabytes_below_one_gigabyte(num_bytes: int, text: str) -> None:
    assert format_size(num_bytes) == text


def test_a_rough_size_is_printed_in_gigabytes() -> None:
    assert [format_gigabytes(size) for size in (450 * MB, 12 * GB, 12_345 * MB)] == ["0.5 GB", "12.0 GB", "12.3 GB"]


@pytest.mark.parametrize(("text", "num_bytes"), [("75%", 75), ("7.5 %", 7), ("100%", 100), ("0%", 0), ("33", 33)])
def test_a_share_is_written_in_percent_of_a_whole(text: str, num_bytes: int) -> None:
    size = parse_size_or_share(text)
    assert isinstance(size, Share) is ("%" in text)
    assert bytes_of(size, 100) == num_bytes


@pytest.mark.parametrize("text", ["101%", "-1%", "%", "50%%", "half"])
def test_a_share_beyond_the_whole_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a size: write 512MB, 4GB, 2GiB or 75%"):
        parse_size_or_share(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.35, "350 ms"),
        (12.34, "12.3 s"),
        (119.9, "119.9 s"),
        (130, "2 min"),
        (3600, "60 min"),
        (7200, "2 h"),
        (37500, "10 h 25 min"),
    ],
)
def test_a_duration_is_printed_in_minutes_and_hours_where_it_is_long(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
