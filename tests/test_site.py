"""The documentation's site: what is in it, and what holds it to loading nothing from elsewhere."""

import importlib.util
import re

import pytest

from podway.framework.config import Model
from podway.launch import experiments
from tests.test_walls import MODULES, ROOT

DOCS = ROOT / "docs"
DECISIONS = sorted((DOCS / "decisions").glob("[0-9]*.md"))

_spec = importlib.util.spec_from_file_location("check", DOCS / "site" / "check.py")
assert _spec is not None
assert _spec.loader is not None
check = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(check)


def test_every_page_is_in_the_navigation():
    _, _, nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:\n")
    named = re.findall(r"[\w/]+\.md", nav)
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    pages -= {path.relative_to(DOCS).as_posix() for path in DECISIONS}
    outside = {"index.md", "contributing.md", "changelog.md"}  # docs/site/hook.py
    assert sorted(named) == sorted(pages | outside), "see nav in mkdocs.yml"


def test_the_index_lists_every_decision_by_its_title():
    index = (DOCS / "decisions" / "index.md").read_text()
    for path in DECISIONS:
        title = path.read_text().splitlines()[0].removeprefix("# ")
        assert title.startswith(f"{int(path.name[:3])}. "), path
        assert f"- [{title}]({path.name})\n" in index, "docs/decisions/index.md"


def test_the_reference_has_every_module():
    texts = [path.read_text() for path in (DOCS / "reference").glob("*.md")]
    named = {name for text in texts for name in re.findall(r"^::: (\S+)$", text, re.MULTILINE)}
    assert named <= MODULES.keys()
    parted = {"podway.framework", "podway.framework.config"}  # named part by part
    for name in MODULES.keys() - parted:
        parts = name.split(".")
        assert {".".join(parts[:end]) for end in range(2, len(parts) + 1)} & named, name


CONFIGS = [
    (page.name, code)
    for page in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
    for code in re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    if "def experiment()" in code
]


@pytest.mark.parametrize(("page", "code"), CONFIGS, ids=[page for page, _ in CONFIGS])
def test_a_config_of_a_page_is_one_and_can_be_trained_where_it_has_a_model(tmp_path, page, code):
    (tmp_path / "shown.py").write_text(code)
    shown = experiments.load(str(tmp_path / "shown.py"))
    if type(shown.model) is not Model:
        shown.optimizer.build(shown.trainer.steps)


@pytest.fixture
def site(tmp_path):
    """A site of two pages that is as it should be."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "a.css").write_text("@import 'b.css'; p { background: url(a.svg) }")
    (tmp_path / "other.html").write_text('<h2 id="here">…</h2>')
    page(tmp_path, "")
    assert check.problems(tmp_path) == []
    return tmp_path


def page(site, more):
    """A page with one element more."""
    (site / "index.html").write_text(
        '<head><link rel="stylesheet" href="assets/a.css"><link rel="canonical" href="https://p/">'
        '</head><body><a href="https://paper.org/1">paper</a> <a href="other.html#here">here</a>'
        f'<script>fetch("search.json")</script><p id="top"><a href="#top">up</a></p>{more}</body>'
    )


@pytest.mark.parametrize(
    "element",
    [
        '<link rel="stylesheet" href="https://fonts.example/css?family=Roboto">',
        '<link rel="preconnect" href="https://fonts.example">',
        '<script src="//cdn.example/a.js"></script>',
        '<script>fetch("https://api.example/repository")</script>',
        '<script type="module">import "https://cdn.example/a.js"</script>',
        "<style>@import 'https://fonts.example/a.css';</style>",
        "<style>p { background: url(HTTP://host.example/a.png) }</style>",
        '<p style="background: url(https://host.example/a.png)">',
        '<img src="https://host.example/badge.svg">',
        '<img src="a.png" srcset="a.png 1x, https://host.example/b.png 2x">',
        '<iframe src="https://host.example/video"></iframe>',
        '<svg><use href="https://host.example/icons.svg#a"></use></svg>',
        '<base href="https://host.example/">',
        '<meta http-equiv="refresh" content="0; url=https://host.example/">',
        '<pre class="mermaid"></pre>',
        '<div data-md-component="source"></div>',
        '<a href="nowhere.html">',
        '<a href="other.html#nowhere">',
        '<a href="#nowhere">',
    ],
)
def test_a_page_that_loads_or_links_to_what_is_not_there_is_found(site, element):
    page(site, element)
    (problem,) = check.problems(site)
    assert problem.startswith("index.html")


def test_a_stylesheet_that_loads_from_elsewhere_is_found(site):
    (site / "assets" / "a.css").write_text(
        "@font-face { src: url('https://fonts.example/a.woff2') }"
    )
    assert check.problems(site) == ["assets/a.css loads https://fonts.example/a.woff2"]


def test_no_pages_are_a_problem(tmp_path):
    assert check.problems(tmp_path)
