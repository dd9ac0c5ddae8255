"""The price files: the one that Podway brings, and the user's own over it."""

import functools
import pathlib
import tomllib
from typing import Any

from podway.framework.error import ConfigError, check
from podway.launch.prices.price import CAPACITIES, ITEMS, Book, Key, Price

SHIPPED = pathlib.Path(__file__).with_name("google_cloud.toml")
VERSION = 1


@functools.cache
def shipped() -> Book:
    """The prices that Podway brings, of Google Cloud."""
    return parse(SHIPPED.read_text(), SHIPPED.name)


def read(file: str = "") -> Book:
    """The prices that Podway brings; before them those of the user's file.

    A file in another currency stands alone: amounts of two can't be added. Raises ConfigError,
    which names the file and the entry.
    """
    if not file:
        return shipped()
    path = pathlib.Path(file)
    check(path.is_file(), f"--prices {file}: there is no such file")
    return parse(path.read_text(errors="replace"), file).over(shipped())


def chip_hour(accelerator: str, region: str, capacity: str = "on-demand") -> Price | None:
    """The shipped price of a chip for an hour; None where no source was found."""
    return shipped().chip_hour(accelerator, region, capacity)


def parse(text: str, name: str) -> Book:
    """Reads a price file. Raises ConfigError, which names the file and the entry."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name} is not TOML: {error}") from error
    _known(content, {"version", "currency", "sources", "prices"}, name)
    version = content.get("version")
    check(version == VERSION, f"{name}: version is {version!r}; this Podway reads {VERSION}")
    currency = _text(content, "currency", name)
    sources = content.get("sources", {})
    check(isinstance(sources, dict), f"{name}: sources is no table; write [sources.NAME]")
    entries = content.get("prices", [])
    check(isinstance(entries, list), f"{name}: prices is no list; write [[prices]]")
    found: dict[Key, Price] = {}
    for number, entry in enumerate(entries, 1):
        for price in _prices(entry, sources, currency, f"{name}: price {number}"):
            key = Key(price.item, price.kind, price.region, price.capacity)
            said = " ".join(filter(None, key))
            check(key not in found, f"{name}: price {number} repeats {said}; leave one out")
            found[key] = price
    return Book(currency, found)


def _prices(entry: Any, sources: Any, currency: str, where: str) -> list[Price]:
    """The prices of one entry, one for each of its regions."""
    check(isinstance(entry, dict), f"{where} is no table; write [[prices]]")
    _known(entry, {"item", "kind", "capacity", "source", "regions"}, where)
    item, kind = _text(entry, "item", where), entry.get("kind", "")
    check(item in ITEMS, f"{where}: there is no item {item!r}; there are {', '.join(ITEMS)}")
    check(isinstance(kind, str), f"{where}: kind is {kind!r}; give a text")
    where = f"{where} ({' '.join(filter(None, (item, kind)))})"
    capacity = entry.get("capacity", "on-demand")
    check(
        capacity in CAPACITIES,
        f"{where}: capacity is {capacity!r}; give one of {', '.join(CAPACITIES)}",
    )
    source = _text(entry, "source", where)
    check(source in sources, f"{where}: source {source!r} is not described; add [sources.{source}]")
    described = sources[source]
    check(isinstance(described, dict), f"{where}: [sources.{source}] is no table")
    _known(described, {"url", "date", "note"}, f"{where}: [sources.{source}]")
    url, date = (_text(described, key, f"{where}: [sources.{source}]") for key in ("url", "date"))
    regions = entry.get("regions")
    check(
        isinstance(regions, dict) and bool(regions),
        f'{where}: regions is {regions!r}; give region = price, "*" for all',
    )
    assert isinstance(regions, dict)
    prices = []
    for region, value in regions.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        check(
            number and 0 <= value < float("inf"),
            f"{where}: {region} = {value!r}; give a price of 0 or more",
        )
        prices.append(Price(item, kind, region, capacity, float(value), currency, url, date))
    return prices


def _known(table: dict[str, Any], keys: set[str], where: str) -> None:
    odd = sorted(set(table) - keys)
    check(not odd, f"{where}: there is no {', '.join(odd)}; known are {', '.join(sorted(keys))}")


def _text(table: dict[str, Any], key: str, where: str) -> str:
    value = table.get(key)
    check(isinstance(value, str) and bool(value), f"{where}: {key} is {value!r}; give a text")
    assert isinstance(value, str)
    return value
