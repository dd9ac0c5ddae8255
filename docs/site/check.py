"""Holds the built site to what we promise of it: `python docs/site/check.py site`.

A page loads nothing from elsewhere (no font, script, style, image or counter of another host), so
it can be read without a network. Links for people to click on may lead anywhere. Links within the
site, to the part of a page too, lead to something.
"""

import html.parser
import pathlib
import re
import sys
import urllib.parse

LOADS = {"src", "srcset", "poster", "data", "background", "action", "formaction", "xlink:href"}
"""Attributes whose address is fetched, whatever the element."""
SILENT = {"canonical", "next", "prev", "edit", "license", "alternate", "author"}
"""Relations of a <link> that fetch nothing."""
FETCHED = {"mermaid", "mathjax", "asciinema"}
"""Classes for which the theme would fetch a library."""
OUTSIDE = re.compile(r"(?:https?:|wss?:)?//", re.IGNORECASE)
STYLED = re.compile(r"""(?:url\(\s*|@import\s+)["']?([^"')\s;]+)""")
SCRIPTED = re.compile(
    r"""\b(?:fetch|import|importScripts|open|src\s*=|href\s*=)\s*\(?\s*["'`](\S*?)["'`]"""
)


class Page(html.parser.HTMLParser):
    """What a page loads, where its links lead, and which places of it can be linked to."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.loads: list[str] = []
        self.links: list[str] = []
        self.places: set[str] = set()
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Reads an element's attributes."""
        found = {name: value or "" for name, value in attrs}
        self._inside = tag if tag in ("style", "script") else ""
        self.places |= {found[name] for name in ("id", "name") if name in found}
        for name in LOADS & found.keys():
            parts = found[name].split(",") if name == "srcset" else [found[name]]
            self.loads += [part.split()[0] for part in parts if part.split()]
        self.loads += STYLED.findall(found.get("style", ""))
        fetched = tag == "link" and not set(found.get("rel", "").split()) & SILENT
        if fetched or tag == "use":
            self.loads.append(found.get("href", ""))
        elif tag in ("a", "area") and "href" in found:
            self.links.append(found["href"])
        elif tag == "base" or found.get("http-equiv", "").lower() == "refresh":
            self.loads.append(f"//{tag}")  # would move all addresses, or leave the page
        classes = set(found.get("class", "").split())
        if classes & FETCHED or found.get("data-md-component") == "source":
            self.loads.append(f"//{' '.join(classes & FETCHED) or 'source'}")

    def handle_endtag(self, tag: str) -> None:
        """Leaves a style or a script."""
        self._inside = ""

    def handle_data(self, data: str) -> None:
        """Reads styles and scripts that stand in the page."""
        if self._inside:
            self.loads += (STYLED if self._inside == "style" else SCRIPTED).findall(data)


def outside(address: str) -> bool:
    """Whether it is another host's."""
    return bool(OUTSIDE.match(address.strip()))


def problems(site: pathlib.Path) -> list[str]:
    """What is wrong with a built site; [] if nothing is."""
    pages = {path: Page(path.read_text()) for path in sorted(site.rglob("*.html"))}
    if not pages:
        return [f"{site} has no pages; build it with `make docs`"]
    found = []
    for path, page in pages.items():
        name = path.relative_to(site)
        found += [f"{name} loads {each}" for each in page.loads if outside(each)]
        found += [f"{name}: nothing at {each}" for each in page.links if dead(each, path, pages)]
    for path in sorted(site.rglob("*.css")):
        styled = filter(outside, STYLED.findall(path.read_text()))
        found += [f"{path.relative_to(site)} loads {each}" for each in styled]
    return found


def dead(link: str, path: pathlib.Path, pages: dict[pathlib.Path, Page]) -> bool:
    """Whether a link within the site leads nowhere."""
    parts = urllib.parse.urlsplit(link)
    if parts.scheme or parts.netloc or path.name == "404.html":  # that is served from anywhere
        return False
    target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    place = urllib.parse.unquote(parts.fragment)
    if target not in pages:
        return not target.exists()
    return bool(place) and place not in pages[target].places and place != "__skip"


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1]).resolve()
    wrong = problems(folder)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(f"{len(list(folder.rglob('*.html')))} pages, {len(wrong)} problems")
    sys.exit(bool(wrong))
