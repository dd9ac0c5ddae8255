"""Pages from templates: all that comes from data is escaped, and a browser loads nothing.

A page is a template of its own package that extends `page.html.j2` of this one and may use the
macros of `parts.html.j2`. A name that a template uses and nobody gives is an error.
"""

import base64
import functools
import hashlib
import pathlib
from typing import Any

import jinja2
import markupsafe

HERE = pathlib.Path(__file__).parent


@functools.cache
def environment(folder: pathlib.Path = HERE) -> jinja2.Environment:
    """The templates of a package's folder, and those of this one."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, HERE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["style"] = source(HERE / "style.css")
    return made


@functools.cache
def source(path: pathlib.Path) -> markupsafe.Markup:
    """A file of our own, a style or a script, that goes into pages as it is."""
    return markupsafe.Markup(path.read_text())


def render(
    template: str,
    folder: pathlib.Path = HERE,
    *,
    script: str = "",
    refresh: int | None = None,
    **values: Any,
) -> str:
    """A page as HTML.

    Args:
      template: its file.
      folder: where that lies: the folder of the page's package.
      script: what runs in the page, the only thing that may; from `source`.
      refresh: seconds after which a browser loads the page again; None: it does not.
      values: what the template uses; `title` it is called by.
    """
    found = environment(folder).get_template(template)
    return found.render(values, script=script, refresh=refresh, policy=_policy(script))


def _policy(script: str) -> str:
    """What a browser may do with the page: use its style and this script, and load nothing."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"'sha256-{digest}'" if script else "'none'"
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src {allowed}"
