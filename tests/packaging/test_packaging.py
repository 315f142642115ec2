"""What is packaged for Docker, Homebrew and conda agrees with the project. `tox -e newcomer` runs the wheel itself."""

import json
import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pensieve import __version__
from pensieve.cli.main import build_parser

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
DOCKERFILES = sorted((PACKAGING / "docker").glob("*.Dockerfile"))
FORMULA = (PACKAGING / "homebrew/pensieve.rb").read_text(encoding="utf-8")
RECIPE = (PACKAGING / "conda/recipe.yaml").read_text(encoding="utf-8")


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_a_dockerfile_installs_an_extra_copies_what_there_is_and_starts_a_command(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    installed = re.search(r"'pensieve-server\[(\w+)\]'", text)
    assert installed is not None
    assert installed[1] in project()["optional-dependencies"]
    copied = [word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) for word in line.split()]
    assert set(copied) >= {"pyproject.toml", "README.md", "LICENSE", "contracts", "pensieve"}
    assert all((ROOT / name).exists() for name in copied)
    words = [*json.loads(text.rpartition("ENTRYPOINT ")[2].splitlines()[0]), *json.loads(text.rpartition("\nCMD ")[2])]
    assert words[0] in project()["scripts"]
    assert build_parser().parse_args(words[1:]).command == "serve"


def test_both_kinds_of_machine_have_a_dockerfile() -> None:
    assert [path.stem for path in DOCKERFILES] == ["cpu", "cuda"]


def test_formula_and_recipe_are_of_this_version() -> None:
    assert f"/pensieve_server-{__version__}.tar.gz" in FORMULA
    assert f'version: "{__version__}"' in RECIPE


def test_the_recipe_has_the_requirements_and_commands_of_the_project() -> None:
    assert runpy.run_path(str(PACKAGING / "release.py"))["with_requirements"](RECIPE) == RECIPE
    assert re.findall(r"^      - (\S+ = \S+)$", RECIPE, re.MULTILINE) == [
        f"{name} = {target}" for name, target in project()["scripts"].items()
    ]
