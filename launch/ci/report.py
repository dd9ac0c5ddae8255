"""The report of the checks, in Markdown: what a pull request shows as a comment."""

from collections.abc import Sequence

from podway.launch.ci.checks import Result

_MARK = {True: "passed", False: "**failed**", None: "left out"}


def markdown(name: str, results: Sequence[Result]) -> str:
    """A table, and below it the commands that failed, or are worth a look, with what they said."""
    failed = [each for each in results if each.passed is False]
    verdict = f"{len(failed)} of {len(results)} checks failed" if failed else "all checks passed"
    lines = [f"### Podway: {name}: {verdict}", "", "| check | | s | |", "|---|---|---:|---|"]
    for each in results:
        seconds = f"{each.seconds:.0f}" if each.seconds else ""
        lines.append(f"| {each.check} | {_MARK[each.passed]} | {seconds} | {_cell(each.said)} |")
    for each in (each for each in results if each.passed is False or each.output):
        lines += ["", f"<details><summary>{each.check}</summary>", ""]
        lines += [f"`{each.command}`", ""] if each.command else []
        lines += ["```text", _fenced(each.output or each.said), "```", "</details>"]
    return "\n".join(lines) + "\n"


def passed(results: Sequence[Result]) -> bool:
    """Whether none failed."""
    return all(each.passed is not False for each in results)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _fenced(text: str) -> str:
    return text.replace("```", "` ` `")
