"""Where a store is, and what must not stand in a config."""

import pytest

from podway.framework.config import online as config
from podway.framework.error import ConfigError


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        ("SqliteStore", {"timeout": float("nan")}, r"online.store.timeout is nan; give a number"),
        ("RedisStore", {"timeout": 0.0}, r"online.store.timeout is 0.0; give a number"),
        (
            "RedisStore",
            {"url": "localhost"},
            r"url is 'localhost'; give one that begins",
        ),
        ("RedisStore", {"url": "redis://:secret@h"}, r"has a password, .* in PODWAY_REDIS_URL"),
        ("RedisStore", {"prefix": ""}, r"online.store.prefix is empty"),
        ("PostgresStore", {"url": "mysql://h/x"}, r"begins with postgresql:// or postgres://"),
        ("PostgresStore", {"url": "postgresql://u:secret@h/x"}, r"PODWAY_POSTGRES_URL"),
        ("PostgresStore", {"table": "x; drop"}, r"table is 'x; drop'; give a name of small"),
        ("PostgresStore", {"connections": 0}, r"connections is 0; give 1 or more"),
    ],
)
def test_what_cannot_be_is_named(kind, fields, said):
    with pytest.raises(ConfigError, match=said) as caught:
        getattr(config, kind)(**fields)
    assert "secret" not in str(caught.value)


def test_the_environment_has_what_is_secret(monkeypatch):
    monkeypatch.setenv("PODWAY_REDIS_URL", "redis://:secret@elsewhere:1/0")
    assert config.RedisStore().address() == "redis://:secret@elsewhere:1/0"
    monkeypatch.delenv("PODWAY_REDIS_URL")
    assert config.RedisStore().address() == "redis://127.0.0.1:6379/0"
    monkeypatch.setenv("PODWAY_POSTGRES_URL", "postgresql://u:secret@h/x")
    assert config.PostgresStore().address() == "postgresql://u:secret@h/x"
    with pytest.raises(ConfigError, match=r"store.project is empty; name Bigtable's project"):
        config.BigtableStore().check_named()
