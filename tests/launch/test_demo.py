"""What the demo says to do next."""

import re
import shlex

from podway.launch import cli, demo, options


def commands(text: str) -> list[list[str]]:
    """The commands of a text, each a list of words, the program's name left out."""
    lines = re.findall(r"^ +(?:\S*podway) (.+)$", text, re.MULTILINE)
    return [shlex.split(line) for line in lines]


def test_each_of_the_next_steps_is_a_command_that_is_understood():
    text = demo.next_steps("a folder/w")
    found = commands(text)
    assert [command[0] for command in found] == ["recommend", "board", "serve"]
    assert len(re.findall(r"^\d\. ", text, re.MULTILINE)) == 3
    for name, *rest in found:
        verb = cli.VERBS[name]
        chosen, overrides = cli._divided(verb, rest)
        read = options.read(name, verb, chosen, overrides)
        assert read.workdir == "a folder/w"
