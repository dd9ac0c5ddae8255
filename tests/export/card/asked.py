"""Sends what a card says, as the server reads it."""

import json
import re
import shlex
from typing import Any

from etils import epath

from podway.export import layout
from podway.export.server.api import rest_json
from podway.export.server.runtime import servable


def answer(published: epath.Path) -> dict[str, Any]:
    """What a model answers to the curl command of its card.md, word by word."""
    text = (published / layout.CARD_TEXT).read_text()
    (command,) = re.findall(r"```sh\n(.*?)\n```", text, re.DOTALL)
    curl, address, flag, body = shlex.split(command.replace("\\\n", ""))
    assert (curl, flag) == ("curl", "-d")
    name = published.parent.name
    assert address == f"http://localhost:8501/v1/models/{name}:predict"
    loaded = servable.load(published)
    asked = rest_json.parse(body.encode(), loaded.signature)
    found = json.loads(rest_json.render(asked, asked.signature.run(asked.inputs)))
    loaded.close()
    return found["predictions"][0]
