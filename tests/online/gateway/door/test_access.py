"""Who is let in, and how often."""

import hashlib
import os

import pytest

from podway.framework.config.online import Access
from podway.framework.error import ConfigError
from podway.online.error import OnlineError
from podway.online.gateway.door import access
from podway.online.gateway.door.access import Door, Refused

TOKEN, OTHER = "a token of the website", "a token of the app, later"


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def line(name: str, token: str) -> str:
    return f"{name} {hashlib.sha256(token.encode()).hexdigest()}\n"


def let_in(door: Door, address: str = "10.0.0.1", **headers: str) -> str:
    try:
        return door.let_in(headers.get, address)
    except Refused as error:
        return f"{error.status}"


def test_who_has_a_token_is_known_by_its_name(tmp_path):
    file = tmp_path / "tokens"
    file.write_text("# clients\n\n" + line("website", TOKEN))
    clock = Clock()
    door = Door(Access(kind="token", tokens=str(file)), clock=clock)
    assert let_in(door, authorization=f"Bearer {TOKEN}") == "website"
    assert let_in(door, authorization=f"bearer  {TOKEN}") == "website"
    for wrong in ("", TOKEN, f"Basic {TOKEN}", f"Bearer {OTHER}", "Bearer ", "Bearer short"):
        assert let_in(door, authorization=wrong) == "401"
    assert let_in(door) == "401"
    assert TOKEN not in file.read_text()


def test_tokens_change_without_a_restart_and_a_broken_file_changes_nothing(tmp_path, caplog):
    file, clock = tmp_path / "tokens", Clock()
    file.write_text(line("website", TOKEN))
    door = Door(Access(kind="token", tokens=str(file)), clock=clock)
    file.write_text(line("app", OTHER))
    clock.now += 3
    assert let_in(door, authorization=f"Bearer {TOKEN}") == "401"
    assert let_in(door, authorization=f"Bearer {OTHER}") == "app"
    file.write_text("nonsense")
    clock.now += 3
    assert let_in(door, authorization=f"Bearer {OTHER}") == "app"
    assert "line 1 is no NAME SHA256" in caplog.text
    assert "nonsense" not in caplog.text, "what was to be a token may be one"


def test_tokens_of_the_variable(monkeypatch):
    monkeypatch.setitem(
        os.environ, access.VARIABLE, line("a", TOKEN).strip() + ";" + line("b", OTHER)
    )
    door = Door(Access(kind="token"))
    assert let_in(door, authorization=f"Bearer {OTHER}") == "b"
    monkeypatch.delitem(os.environ, access.VARIABLE)
    with pytest.raises(OnlineError, match="there are none: name a file"):
        Door(Access(kind="token"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OnlineError, match=r"access\.tokens: .*/none cannot be read"):
        Door(Access(kind="token", tokens=str(tmp_path / "none")))
    (tmp_path / "empty").write_text("# nobody\n")
    with pytest.raises(OnlineError, match="has no client"):
        Door(Access(kind="token", tokens=str(tmp_path / "empty")))


def test_behind_a_proxy_its_header_names_the_client():
    door = Door(Access(kind="proxy", header="X-Client"))
    assert let_in(door, **{"x-client": "website"}) == "website"
    assert let_in(door) == "401"


def test_each_client_has_a_rate_of_its_own():
    clock = Clock()
    door = Door(Access(rate=2.0, burst=2.0), clock=clock)
    assert [let_in(door) for _ in range(5)] == ["10.0.0.1"] * 4 + ["429"]
    assert let_in(door, "10.0.0.2") == "10.0.0.2"
    clock.now += 0.5
    assert [let_in(door) for _ in range(2)] == ["10.0.0.1", "429"]
    with pytest.raises(Refused) as error:
        door.let_in({}.get, "10.0.0.1")
    assert error.value.wait == pytest.approx(0.5)


def test_processes_share_a_rate():
    clock = Clock()
    door = Door(Access(rate=8.0, burst=1.0), share=0.25, clock=clock)
    assert [let_in(door) for _ in range(3)] == ["10.0.0.1"] * 2 + ["429"]


def test_forgotten_clients_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(access, "_CLIENTS", 10)
    door = Door(Access(rate=1.0), clock=Clock())
    for number in range(100):
        let_in(door, f"10.0.0.{number}")
    assert len(door._buckets) == 10


def test_a_rate_that_lets_nobody_in():
    with pytest.raises(ConfigError, match="no request would ever be let in"):
        Access(rate=0.1, burst=1.0)
