"""What mkdocs does to our pages: README, CONTRIBUTING and CHANGELOG become pages of the site, and a
link to a source file one to its part of the reference."""

import pathlib
import re
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = pathlib.Path(__file__).parents[2]
PAGES = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
SOURCE = re.compile(
    r"\[([^\]]+)\]\((?:\.\./)+((?:framework|configs|beam|export|launch)/[\w/]+)\.py\)"
)


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Adds the pages that lie outside of docs/."""
    for page, name in PAGES.items():
        files.append(File.generated(config, page, content=inside((ROOT / name).read_text())))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to source files as links into the reference."""
    return SOURCE.sub(lambda found: f"[{found[1]}][podway.{found[2].replace('/', '.')}]", markdown)


def inside(text: str) -> str:
    """A page of the root as one of docs/: its links start there."""
    for page, name in PAGES.items():
        text = text.replace(f"]({name})", f"]({page})")
    return text.replace("](docs/", "](")
