import pathlib
import re

import jinja2
import pytest

from podway.framework.page import table, templates

EVIL = "<script>document.title='owned'</script>\"'&"


def page(tmp_path: pathlib.Path, body: str, **values) -> str:
    head = '{% extends "page.html.j2" %}{% from "parts.html.j2" import key, stack, table, tiles %}'
    (tmp_path / "own.html.j2").write_text(f"{head}{{% block body %}}{body}{{% endblock %}}")
    return templates.render("own.html.j2", tmp_path, title=EVIL, **values)


def test_what_data_say_is_inert_in_every_part(tmp_path):
    cell = table.Cell(EVIL, "bad", EVIL)
    text = page(
        tmp_path,
        "{{ evil }}{{ tiles([(evil, evil)]) }}{{ stack(evil, [('c0', evil, 0.5, evil)]) }}"
        "{{ table(rows) }}{{ key([('c0', evil, evil)]) }}",
        evil=EVIL,
        rows=table.Table([EVIL], [[cell], table.cells([EVIL])]),
    )
    assert EVIL not in text
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 14
    assert text.count("&#34;") == 14  # nor does it leave an attribute


def test_a_name_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(jinja2.UndefinedError, match="nothing"):
        page(tmp_path, "{{ nothing }}")


def test_a_browser_may_load_nothing_and_run_one_script(tmp_path):
    text = page(tmp_path, "")
    assert "default-src &#39;none&#39;" in text
    assert "script-src &#39;none&#39;" in text
    assert "://" not in text
    assert "@import" not in text
    assert "url(" not in text
    script = tmp_path / "own.js"
    script.write_text("document.title='a<b'")
    text = page(tmp_path, "", script=templates.source(script))
    assert "<script>document.title='a<b'</script>" in text
    assert re.search(r"script-src &#39;sha256-[\w+/=]{44}&#39;\"", text)


def test_the_style_knows_dark_narrow_and_paper():
    style = (templates.HERE / "style.css").read_text()
    for kind in ("(prefers-color-scheme:dark)", "(max-width:600px)", "@media print"):
        assert kind in style
    light, dark = re.findall(r":root\{(.*?)\}", style, re.DOTALL)
    names = [set(re.findall(r"--\w+", part)) for part in (light, dark)]
    assert names[0] == names[1]
    assert set(re.findall(r"var\((--\w+)\)", style)) - {"--c"} <= names[0]
