"""A hook of MkDocs: the pages at the root of the repository join the site, and links out of the site become names.

The pages are written to be read in the repository, where a link to `../pensieve/…` works. The pictures that
.ci/pictures.py has made replace the comments that name them; the site is whole without them.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT_PAGES = ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md")
PICTURES = "build/pictures"
_PICTURE = re.compile(r"^<!-- picture ([\w-]+): (.+) -->$", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    root = Path(config.config_file_path).parent
    for name in ROOT_PAGES:
        text = _LINK.sub(_within_docs, (root / name).read_text(encoding="utf-8"))
        files.append(File.generated(config, name, content=text))
    for picture in sorted((root / PICTURES).glob("*.*")):
        files.append(File.generated(config, f"images/{picture.name}", abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    folder = posixpath.dirname(page.file.src_uri)

    def in_site(match: re.Match[str]) -> str:
        address = urlsplit(match[2])
        if address.scheme or not address.path:
            return match[0]
        target = posixpath.normpath(posixpath.join(folder, address.path))
        at_root = target.removeprefix("../")
        if at_root in ROOT_PAGES:
            return f"[{match[1]}]({posixpath.relpath(at_root, folder or '.')})"
        if target.startswith("../"):
            return f"{match[1]} (`{at_root}` in the repository)"
        return match[0] if files.get_file_from_path(target) else f"{match[1]} (`docs/{target}` in the repository)"

    return _LINK.sub(in_site, _PICTURE.sub(lambda match: _picture(files, folder, *match.groups()), markdown))


def _picture(files: Files, folder: str, name: str, text: str) -> str:
    """One picture, or one for each colour scheme of the reader; nothing where it was not made."""
    endings = {f"{name}.svg": "", f"{name}-light.png": "#only-light", f"{name}-dark.png": "#only-dark"}
    found = [(f"images/{file}", when) for file, when in endings.items() if files.get_file_from_path(f"images/{file}")]
    return "\n".join(f"![{text}]({posixpath.relpath(path, folder or '.')}{when})" for path, when in found)


def _within_docs(match: re.Match[str]) -> str:
    """A link of a page at the root, as a page in docs/ would write it."""
    text, address = match.groups()
    if urlsplit(address).scheme or address.startswith("#"):
        return match[0]
    return f"[{text}]({address.removeprefix('docs/') if address.startswith('docs/') else '../' + address})"
