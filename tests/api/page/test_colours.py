"""Text can be read in light and in dark: WCAG 2.2, 1.4.3 (text) and 1.4.11 (graphics)."""

from __future__ import annotations

import re

import pytest

from pensieve.api.page.page_files import read_page_files

CSS = read_page_files()["page.css"].content.decode()
TEXTS = ("text", "quiet", "good", "bad", "warn", "accent")
GRAPHICS = ("reserved", "measured", "memory", "disk", "computed")


def colours(css: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", css))


LIGHT, DARK = (colours(part) for part in CSS.split("@media (prefers-color-scheme: dark)")[:2])


def luminance(colour: str) -> float:
    def linear(part: int) -> float:
        share = part / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(colour[at : at + 2], 16)) for at in (1, 3, 5))
    return float(0.2126 * red + 0.7152 * green + 0.0722 * blue)


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_formula_is_the_one_of_the_guidelines() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


def test_both_schemes_have_all_colours() -> None:
    assert LIGHT.keys() == DARK.keys() > {*TEXTS, *GRAPHICS}


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_have_contrast(scheme: dict[str, str]) -> None:
    pairs = [(text, ground, 4.5) for text in TEXTS for ground in ("card", "page")]
    pairs += [(graphic, "card", 3.0) for graphic in GRAPHICS]
    pairs += [("on-accent", "accent", 4.5), ("text", "user", 4.5), ("quiet", "user", 4.5)]
    poor = {(one, other): contrast(scheme[one], scheme[other]) for one, other, _ in pairs}
    assert {pair: poor[pair[:2]] for pair in pairs if poor[pair[:2]] < pair[2]} == {}
