import html.parser
import os
import pathlib
import re
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest

from podway.beam.report import histogram, page
from podway.beam.statistics import quantiles as sketch
from podway.beam.statistics import statistics
from podway.framework.page.text import number
from podway.framework.schema.schema import Feature, Schema, Vocabulary

EVIL = "<script>document.title='owned'</script>\"'&"
DAY = 86_400_000_000


def shop(rows: int = 20_000) -> tuple[dict[str, Any], Schema, dict[str, Any]]:
    """Details, schema and statistics of a shop's clicks: 20 features of all kinds."""
    generator = np.random.default_rng(3)
    words = {
        name: Vocabulary(("", "", *values), (0,) * (len(values) + 2))
        for name, values in {
            "user": [f"u{at:05}" for at in range(8000)],
            "item": [f"{word} {at}" for at in range(700) for word in ("Shoes", "Lamp", "Chair")],
            "country": ["Germany", "France", "Österreich", "日本", "Chile", "Norway", "Peru"],
            "device": ["phone", "desktop", "tablet"],
            "evil": [EVIL, "plain", "a" * 300],
            "tags": [f"tag{at}" for at in range(60)],
            "title": [f"word{at}" for at in range(5000)],
        }.items()
    }
    names = {  # name → role, dtype and so on
        "user": ("user", "int32", {}),
        "item": ("item", "int32", {"ragged": True, "max_length": 200}),
        "time": ("time", "int64", {"ragged": True, "max_length": 200}),
        "target": ("target", "int32", {"vocabulary": "item", "size": 2102}),
        "clicked": ("label", "float32", {}),
        "price": ("feature", "float32", {}),
        "revenue": ("feature", "float32", {}),
        "stars": ("feature", "float32", {}),
        "discount": ("feature", "float32", {}),
        "weight": ("feature", "float32", {}),
        "constant": ("feature", "float32", {}),
        "nothing": ("feature", "float32", {}),
        "gap": ("feature", "float32", {}),
        "hour": ("feature", "float32", {"shape": (2,)}),
        "country": ("feature", "int32", {}),
        "device": ("feature", "int32", {}),
        "evil": ("feature", "int32", {}),
        "query_hash": ("feature", "int32", {"size": 65538}),
        "tags": ("feature", "int32", {"ragged": True, "max_length": 9, "table": "item"}),
        "title": ("feature", "int32", {"ragged": True, "max_length": 32, "table": "item"}),
    }
    features = []
    for name, (role, dtype, more) in names.items():
        if name in words:
            more = {"vocabulary": name, "size": len(words[name]), **more}
        features.append(Feature(name, role, dtype, **more))

    def ids(size: int, count: int, tail: float, missing: float, unknown: float) -> np.ndarray:
        weights = 1 / np.arange(1, size + 1) ** tail
        found = 2 + generator.choice(size, count, p=weights / weights.sum())
        found[generator.random(count) < missing] = 0
        found[generator.random(count) < unknown] = 1
        return found

    def numbers(name: str, n: int, test: bool) -> np.ndarray:
        made = {
            "time": lambda: 1.7e15 + 300 * DAY * (test + generator.beta(3, 2, n)) / (1 + test),
            "hour": lambda: 1.7e15 + 300 * DAY * generator.random(n),
            "clicked": lambda: (generator.random(n) < 0.03) * 1.0,
            "price": lambda: np.round(np.exp(generator.normal(3 + 0.8 * test, 1, n)), 2),
            "revenue": lambda: np.where(
                generator.random(n) < 0.8, 0, np.exp(generator.normal(2, 2.5, n))
            ),
            "stars": lambda: generator.choice([1, 2, 3, 4, 5], n, p=[0.1, 0.05, 0.15, 0.3, 0.4]),
            "discount": lambda: np.round(generator.beta(1, 6, n), 2),
            "weight": lambda: generator.normal(0, 1, n) * 1e-3,
            "constant": lambda: np.full(n, 7.0),
            "nothing": lambda: np.full(n, np.nan),
            "gap": lambda: np.log1p(np.exp(generator.normal(6, 3, n))),
        }[name]().astype(float)
        made[generator.random(n) < {"discount": 0.12, "weight": 0.4}.get(name, 0)] = np.nan
        return made

    sizes = {"query_hash": 65_536, "target": 2100, **{n: len(w) - 2 for n, w in words.items()}}
    told: dict[str, Any] = {}
    for split, count in {"train": rows, "validation": rows // 10, "test": rows // 10}.items():
        told[split] = {}
        for feature in features:
            name, test = feature.name, split == "test"
            of_item = feature.table == "item"
            if (of_item and split != "train") or (name == "target" and split == "train"):
                continue
            if feature.dtype == "int32":
                unknown = {"item": 0.002, "country": 0.08, "user": 0}.get(name, 0.01)
                found = ids(sizes[name], count, 1.0, 0.3 if name == "tags" else 0, unknown)
                lengths = None
                if feature.ragged:
                    lengths = statistics.numbers(
                        generator.poisson(min(feature.max_length / 4, 40), count // 10)
                    )
                part = statistics.ids(np.bincount(found), lengths)
            else:
                part = statistics.numbers(numbers(name, count, test))
            told[split][name] = statistics.to_json(
                part, feature, words.get(feature.vocabulary or "")
            )
    details = {
        "report": {
            "rows": 26_000,
            "kept": 24_000,
            "filtered": {"k-core": 1_400, "duplicate": 400},
            "rejected": {"time is no number": 150, EVIL: 50},
            "users": 8_000,
            "items": 2_100,
            "density": 0.0014,
            "early_test_targets": 3,
        },
        "splits": {"train": {"examples": rows}, "test": {"examples": rows // 10}},
    }
    return details, Schema(tuple(features)), told


class Parser(html.parser.HTMLParser):
    """Tags that are opened, and whether all are closed in order."""

    def __init__(self):
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text() -> str:
    return page.page(f"shop {EVIL}", *shop())


def test_the_page_is_whole_and_what_the_data_say_is_inert(text):
    parser = Parser()
    parser.feed(text)
    assert parser.open == []
    assert parser.tags.count("script") == 1
    assert parser.tags.count("section") == 20
    assert EVIL not in text
    assert text.count("&lt;script&gt;") >= 5  # title, reason, value
    attributes = {name for name, _ in parser.attributes}
    assert not attributes & {"src", "href"}  # nothing is loaded
    assert not {name for name in attributes if name.startswith("on")}
    assert "://" not in text


def section(text: str, name: str) -> str:
    return re.findall(rf'<section class="card" data-name="{name}".*?</section>', text, re.DOTALL)[0]


def test_what_a_feature_shows(text):
    price = section(text, "price")
    assert "axis compressed" in price
    assert 'class="bad" title="JS' in price  # test drifted
    assert 'role="img"><title>Histogram of price</title>' in price
    assert 'class="warn" title="2,368 of 20,000">11.84%' in section(text, "discount")
    assert 'class="bad" title="20,000 of 20,000">100.00%' in section(text, "nothing")
    assert "no numbers" in section(text, "nothing")
    assert "2023-11-" in section(text, "time")
    assert "Österreich" in section(text, "country")
    assert "Lengths of the lists" in section(text, "item")
    assert ">id 2<" in section(text, "query_hash")
    assert "of the item" in section(text, "tags")
    assert "↑ 81%" in section(text, "revenue")
    assert 'data-order="0"' in section(text, "user")
    for name in ("price", "stars"):
        titles = re.findall(r"<g><title>(.*?)</title>", section(text, name), re.DOTALL)
        counts = [
            int(n.replace(",", "")) for t in titles for n in re.findall(r"train:.*\((.*)\)", t)
        ]
        assert sum(counts) == 20_000


def test_values_that_occur_once_are_not_listed():
    feature = Feature("user", "user", "int32")
    once = {"user": statistics.to_json(statistics.ids(np.ones(50, int)), feature)}
    shown = page.page("t", {}, Schema((feature,)), {"train": once, "test": once})
    assert "each value occurs once" in shown
    assert "id 7" not in shown


def test_positions_are_no_times():
    feature = Feature("time", "time", "int64")
    told = {"train": {"time": statistics.to_json(statistics.numbers([1, 2, 3 << 40]), feature)}}
    shown = page.page("t", {"report": {"early_test_targets": None}}, Schema((feature,)), told)
    assert "1970" not in shown
    assert "3,298,534,883,328" in shown or "3.3e12" in shown


def test_the_file_can_be_written_without_a_report(tmp_path: pathlib.Path):
    _, schema, told = shop(2_000)
    page.write(tmp_path / "statistics.html", "shop", {}, schema, {"train": told["train"]})
    assert (tmp_path / "statistics.html").read_text().startswith("<!doctype html>")


# ------------------------------------------------------------------------------------------ plots


def bars_of(*splits) -> histogram.Bars:
    named = {f"s{at}": sketch.of(values) for at, values in enumerate(splits)}
    bars = histogram.binned(named, number)
    assert bars is not None
    return bars


@pytest.mark.parametrize("kind", ["normal", "skewed", "whole", "cents", "huge"])
def test_a_histogram_counts_each_number_once(kind):
    generator = np.random.default_rng(0)
    values = {
        "normal": generator.normal(size=(2, 5_000)),
        "skewed": np.exp(generator.normal(0, 3, (2, 5_000))) * [[-1], [1]],
        "whole": generator.integers(0, 100, (2, 5_000)),
        "cents": (generator.integers(0, 300, (2, 5_000)) / 100).astype(np.float32),
        "huge": 1e6 + generator.integers(0, 40, (2, 5_000)) / 10,
    }[kind]
    bars = bars_of(*values)
    assert [sum(counts) for counts in bars.counts.values()] == [5_000, 5_000]
    assert len(bars.labels) == len(bars.counts["s0"]) <= 30
    places = [place for place, _ in bars.ticks]
    assert len(places) >= 2
    assert all(0 <= place <= 1 for place in places)
    assert (bars.note != "") == (kind == "skewed")
    assert bars.labels[0] == {"whole": "0 to 3", "cents": "0 to 0.09"}.get(kind, bars.labels[0])
    if kind in ("whole", "cents"):  # equal numbers of values in each bin: none twice the next
        counts = np.array(bars.counts["s0"])[:-1]
        assert counts.max() < 1.5 * counts.min()


def test_few_numbers_have_a_bar_each():
    bars = bars_of([1, 1, 2.5], [2.5, 7])
    assert bars.labels == ["1", "2.5", "7"]
    assert bars.counts == {"s0": [2, 1, 0], "s1": [0, 1, 1]}
    assert histogram.binned({"s": sketch.of([])}, number) is None


# ---------------------------------------------------------------------------------------- browser


def browser() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    if os.environ.get("CI") == "true":
        pytest.fail("no Chromium on PATH: apt-get install -y chromium")
    pytest.skip("no Chromium on PATH: apt-get install -y chromium")


def opened(path: pathlib.Path, address: str = "") -> tuple[str, list[str]]:
    """A page as the browser has it once its script ran, and what it wrote to the console."""
    ran = subprocess.run(
        [
            browser(), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
            f"--user-data-dir={path.parent / 'profile'}", "--virtual-time-budget=2000",
            "--dump-dom", f"file://{path}{address}",
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return ran.stdout, [line for line in ran.stderr.splitlines() if "CONSOLE" in line]


def visible(dom: str) -> list[str]:
    """Features in their order, without those that are hidden."""
    cards = re.findall(r'<section class="card"[^>]*>', dom)
    return [re.findall(r'data-name="(.*?)"', card)[0] for card in cards if "hidden" not in card]


@pytest.mark.slow
def test_the_page_in_a_browser(text, tmp_path):
    path = tmp_path / "statistics.html"
    path.write_text(text)
    dom, console = opened(path)
    assert console == []
    assert "20 of 20 features" in dom
    assert re.search(r"<title>shop &lt;script&gt;", dom)  # nothing ran that came from the data
    assert len(visible(dom)) == 20
    assert visible(dom)[:3] == ["user", "item", "time"]
    assert 'class="bar" hidden' not in dom
    dom, console = opened(path, "#kind=numbers&sort=missing")
    assert console == []
    assert "9 of 20 features" in dom
    assert visible(dom)[:3] == ["nothing", "weight", "discount"]
    dom, _ = opened(path, "#find=PRICE")
    assert visible(dom) == ["price"]
    dom, _ = opened(path, "#sort=drift")
    assert visible(dom)[0] == "price"


@pytest.mark.slow
def test_an_error_of_the_script_would_be_seen(text, tmp_path):
    path = tmp_path / "broken.html"
    path.write_text(text.replace('id="find"', 'id="lost"'))
    dom, console = opened(path)
    assert any("TypeError" in line for line in console)
    assert "features</span>" not in dom
    assert 'class="bar" hidden' in dom
    assert len(visible(dom)) == 20  # without the script, all is still shown


@pytest.mark.slow
def test_a_script_that_the_page_did_not_come_with_does_not_run(text, tmp_path):
    path = tmp_path / "injected.html"
    path.write_text(text.replace("<main>", "<main><script>document.title='owned'</script>"))
    dom, console = opened(path)
    assert any("Content Security Policy" in line for line in console)
    assert "<title>owned" not in dom
    assert "20 of 20 features" in dom
