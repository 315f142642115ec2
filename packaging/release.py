"""Writes a release into the Homebrew formula and the conda recipe: its version, address, checksum and requirements.

python packaging/release.py dist/pensieve_server-0.1.0.tar.gz
"""

from __future__ import annotations

import hashlib
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
FORMULA, RECIPE = HERE / "homebrew/pensieve.rb", HERE / "conda/recipe.yaml"
ON_CONDA = {"prompt-toolkit": "prompt_toolkit", "pypdf[crypto]": "pypdf"}
"""Names that differ there. conda-forge has no extras, so what pypdf's extra adds is named besides."""
BESIDES = ("cryptography",)
_REQUIREMENT = re.compile(r"([\w.\[\]-]+)(.*)")


def main(sdist: Path) -> None:
    version = sdist.name.removeprefix("pensieve_server-").removesuffix(".tar.gz")
    checksum = hashlib.sha256(sdist.read_bytes()).hexdigest()
    formula = FORMULA.read_text(encoding="utf-8")
    formula = re.sub(r"pensieve_server-[\d.]+\.tar", f"pensieve_server-{version}.tar", formula)
    FORMULA.write_text(re.sub(r'sha256 "\w+"', f'sha256 "{checksum}"', formula), encoding="utf-8")
    recipe = re.sub(r'version: "[^"]+"', f'version: "{version}"', RECIPE.read_text(encoding="utf-8"))
    recipe = re.sub(r'sha256: "\w+"', f'sha256: "{checksum}"', recipe)
    RECIPE.write_text(with_requirements(recipe), encoding="utf-8")


def with_requirements(recipe: str) -> str:
    lines = "".join(f"    - {requirement}\n" for requirement in conda_requirements())
    return re.sub(r"(?<=^  run:\n)(    - .*\n)+", lines, recipe, flags=re.MULTILINE)


def conda_requirements() -> Iterator[str]:
    """The dependencies of pyproject.toml under conda-forge's names."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    yield "python >=3.11,<3.15"
    for requirement in project["dependencies"]:
        match = _REQUIREMENT.fullmatch(requirement)
        if match is None:
            raise ValueError(requirement)
        yield f"{ON_CONDA.get(match[1], match[1])} {match[2]}"
    yield from BESIDES


if __name__ == "__main__":
    main(Path(sys.argv[1]))
