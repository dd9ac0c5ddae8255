"""How raw values may be written, as far as several parts of the config say so. Pure Python."""

import re

from podway.framework.error import check

TIME_UNITS = ("auto", "s", "ms", "us", "ns", "iso")
"""What a time is written in, unless a format with % says it."""

_ESCAPES = re.compile(r"\\(t|x[0-9a-fA-F]{2})")


def typed(text: str) -> str:
    """\\t and \\x01, as they are typed on a shell, as the characters that they stand for."""
    return _ESCAPES.sub(lambda found: "\t" if found[1] == "t" else chr(int(found[1][1:], 16)), text)


def check_time_unit(where: str, unit: str) -> None:
    """Raises ConfigError where no time is written so; `where` names the field."""
    check(
        unit in TIME_UNITS or "%" in unit,
        f"{where} is {unit!r}; give one of {', '.join(TIME_UNITS)}, or a format such as"
        " %d/%m/%Y %H:%M",
    )


def check_encoding(where: str, encoding: str) -> None:
    """Raises ConfigError where Python knows no such encoding of text; `where` names the field."""
    try:
        known = encoding == "auto" or isinstance("".encode(encoding), bytes)
    except LookupError:
        known = False
    check(
        known,
        f"{where} is {encoding!r}; give auto, or an encoding that Python knows, such as utf-8,"
        " utf-16 or cp1252",
    )
