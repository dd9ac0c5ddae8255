"""The price file that Podway brings, and the user's own over it."""

import re

import pytest

from podway.framework.devices import hardware
from podway.framework.error import ConfigError
from podway.launch.prices import book
from podway.launch.prices.price import CAPACITIES, ITEMS

OWN = """
version = 1
currency = "USD"
[sources.contract]
url = "our contract of May"
date = "2026-05-04"
[[prices]]
item = "chip-hour"
kind = "v6e"
source = "contract"
[prices.regions]
us-east1 = 1.5
[[prices]]
item = "chip-hour"
kind = "tpu7x"
capacity = "reserved"
source = "contract"
[prices.regions]
"*" = 6
"""


def test_every_shipped_price_says_where_and_when_it_was_read():
    prices = book.shipped().prices.values()
    assert len(prices) > 200
    for price in prices:
        assert price.source.startswith("https://"), price
        assert re.fullmatch(r"20\d\d-\d\d(-\d\d)?", price.date), price
        assert price.value > 0
        assert price.currency == "USD"


def test_chips_are_those_of_the_hardware_table():
    kinds = {price.kind for price in book.shipped().prices.values() if price.item == "chip-hour"}
    assert kinds <= {each.name for each in hardware.ACCELERATORS}
    assert {"v5e", "v5p", "v6e", "a100", "h100"} <= kinds


def test_a_chip_is_found_by_its_place_and_how_it_is_bought():
    found = book.chip_hour("v6e", "europe-west4", "on-demand")
    assert found is not None
    assert (found.value, found.currency) == (2.97, "USD")
    spot = book.chip_hour("v6e", "europe-west4", "spot")
    assert spot is not None
    assert spot.value < found.value
    assert book.chip_hour("v6e", "mars-north1") is None
    assert book.chip_hour("tpu7x", "us-central1") is None
    assert book.chip_hour("v6e", "us-east1", "reserved") is None


def test_commitments_are_cheaper_than_what_is_bought_by_the_hour():
    prices = book.shipped()
    for key, price in prices.prices.items():
        if key.capacity != "on-demand":
            at_once = prices.find(key.item, key.kind, key.region)
            assert at_once is not None, key
            assert price.value < at_once.value, key


def test_a_machine_costs_what_its_cores_and_memory_cost_together():
    prices = book.shipped()
    core, memory = (
        prices.find(item, "n2", "us-central1") for item in ("vcpu-hour", "memory-gib-hour")
    )
    assert core is not None
    assert memory is not None
    # n2-highmem-8 in the same source: 8 vCPUs, 64 GiB.
    assert 8 * core.value + 64 * memory.value == pytest.approx(0.524056, abs=1e-4)


def test_what_all_regions_share_is_found_in_each():
    found = book.shipped().find("queue-gib", region="asia-east1")
    assert found is not None
    assert found.value * 1024 == pytest.approx(40)


def test_ones_own_prices_come_first_and_the_others_stay(tmp_path):
    file = tmp_path / "own.toml"
    file.write_text(OWN)
    prices = book.read(str(file))
    ours = prices.chip_hour("v6e", "us-east1")
    assert ours is not None
    assert (ours.value, ours.source, ours.date) == (1.5, "our contract of May", "2026-05-04")
    anywhere = prices.chip_hour("tpu7x", "us-west4", "reserved")
    assert anywhere is not None
    assert anywhere.value == 6
    assert prices.chip_hour("v6e", "europe-west4") == book.chip_hour("v6e", "europe-west4")
    assert book.read() is book.shipped()


def test_a_book_in_another_currency_stands_alone(tmp_path):
    file = tmp_path / "euro.toml"
    file.write_text(OWN.replace("USD", "EUR"))
    prices = book.read(str(file))
    assert {price.currency for price in prices.prices.values()} == {"EUR"}
    assert prices.chip_hour("v6e", "europe-west4") is None


def test_regions_of_a_price():
    assert "us-central1" in book.shipped().regions("chip-hour", "v5e")
    assert book.shipped().regions("chip-hour", "tpu7x") == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version = 1", "version = 2", "version is 2; this Podway reads 1"),
        ('currency = "USD"', "", "currency is None; give a text"),
        ('kind = "v6e"', 'sort = "v6e"', "price 1: there is no sort; known are"),
        ('item = "chip-hour"', 'item = "chip"', "price 1: there is no item 'chip'; there are"),
        ('"reserved"', '"rented"', "price 2 (chip-hour tpu7x): capacity is 'rented'; give one of"),
        ('source = "contract"', 'source = "x"', "source 'x' is not described; add [sources.x]"),
        ("us-east1 = 1.5", "us-east1 = -1", "us-east1 = -1; give a price of 0 or more"),
        ("us-east1 = 1.5", "us-east1 = nan", "us-east1 = nan; give a price of 0 or more"),
        ("us-east1 = 1.5", "us-east1 = true", "us-east1 = True; give a price of 0 or more"),
        ("us-east1 = 1.5", "", "regions is {}; give region = price"),
        ('url = "our contract of May"', "", "[sources.contract]: url is None; give a text"),
        ("version = 1", "version 1", "is not TOML"),
        (
            'kind = "tpu7x"\ncapacity = "reserved"',
            'kind = "v6e"',
            "price 2 repeats chip-hour v6e us-east1 on-demand; leave one out",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_said(tmp_path, old, new, message):
    text = OWN.replace('"*" = 6', "us-east1 = 6") if "repeats" in message else OWN
    assert old in text
    file = tmp_path / "own.toml"
    file.write_text(text.replace(old, new))
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        book.read(str(file))
    assert str(error.value).startswith(str(file))


def test_a_missing_file_is_said():
    with pytest.raises(ConfigError, match=r"--prices nowhere\.toml: there is no such file"):
        book.read("nowhere.toml")


def test_items_and_capacities_are_told_apart():
    assert len(set(ITEMS)) == len(ITEMS)
    assert "on-demand" in CAPACITIES
