"""Sphinx extension that shows what was executed, and keeps the book readable: without a network, and by ear.

Notebooks are read from the folder that the environment variable ACTIONBOOK_EXECUTED names, such as ``_build/executed``,
where it names one: the committed ones stand beside their sources and are what the others are held against.
Generated pages, which others include from ``_generated/``, are read from ``generated/`` in the folder ACTIONBOOK_BUILD,
where that is set because the checkout cannot be written.

Jupyter Book always loads sphinx-thebe, whose inline script names a remote file, is put on every page twice (the second
is an error in the browser's console) and is of no use without a server to run cells on: it is taken out. Any other
script, style sheet, picture or frame that a page would fetch from elsewhere is a warning, and so fails a ``-W`` build.
"""

from __future__ import annotations

import html
import os
import re
import shutil
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

_LATE = 900  # after the themes and sphinx-thebe, which use the default of 500
_REMOTE = re.compile(r"^(?:https?:)?//", re.IGNORECASE)
# What a browser fetches unasked. Links (<a href>) and code that is only shown are no requests.
_TAG = re.compile(
    r"<(?:script|img|iframe|embed|source|video|audio|track|input|link)\b(?:[^>\"']|\"[^\"]*\"|'[^']*')*?"
    r"\s(?:src|href|poster|srcset)\s*=\s*[\"']?((?:https?:)?//[^\s\"'>]+)",
    re.IGNORECASE,
)
_STYLE = re.compile(r"(?:@import\s+|url\()\s*(?:url\()?[\"']?((?:https?:)?//[^\s\"')]+)", re.IGNORECASE)
_INCLUDED = re.compile(r"^(`{3,}\{include\} )(?:\S*/)?_generated/", re.MULTILINE)
# In the tree of pages: a link with pages below it, and the arrow that folds these and that Sphinx gives no words.
_FOLDED = re.compile(r"(<a [^>]*>(?P<title>[^<]*)</a><details[^>]*><summary)>")
_STYLE_BLOCK = re.compile(r"<style\b[^>]*>(.*?)</style>", re.IGNORECASE | re.DOTALL)


def remote_requests(html: str) -> list[str]:
    """Addresses that a browser would fetch from elsewhere when it shows `html`."""
    styles = "\n".join(_STYLE_BLOCK.findall(html))
    return _TAG.findall(html) + _STYLE.findall(styles)


def _executed(app: Sphinx, page: str) -> Path | None:
    """The executed notebook of a page, None where it is no notebook or the committed one shall be shown."""
    folder = os.environ.get("ACTIONBOOK_EXECUTED")
    if not folder or not page.startswith("notebooks/") or Path(app.env.doc2path(page)).suffix != ".ipynb":
        return None
    return Path(app.srcdir) / folder / f"{page.removeprefix('notebooks/')}.ipynb"


def _read_executed(app: Sphinx, page: str, content: list[str]) -> None:
    if (path := _executed(app, page)) is not None:
        content[0] = path.read_text(encoding="utf-8")


def _find_generated(app: Sphinx, page: str, content: list[str]) -> None:
    if build := os.environ.get("ACTIONBOOK_BUILD"):
        folder = os.path.relpath(Path(app.srcdir) / build / "generated", Path(app.env.doc2path(page)).parent)
        content[0] = _INCLUDED.sub(lambda found: f"{found[1]}{folder}/", content[0])


def _offer_executed(app: Sphinx, _error: Exception | None) -> None:
    """What can be downloaded from a page is what it shows."""
    for page in app.env.found_docs:
        copied = Path(app.outdir) / "_sources" / f"{page}.ipynb"
        if copied.exists() and (path := _executed(app, page)) is not None:
            shutil.copyfile(path, copied)


def _is_thebe(script: Any) -> bool:
    body = script.attributes.get("body") or ""
    return "THEBE_JS_URL" in body or "thebe" in str(script.filename or "")


def _guard_page(
    app: Sphinx, page: str, _template: str, context: dict[str, Any], _doctree: nodes.document | None
) -> None:
    scripts = [script for script in context.get("script_files", []) if not _is_thebe(script)]
    context["script_files"] = scripts
    names = [str(getattr(file, "filename", file) or "") for file in [*scripts, *context.get("css_files", [])]]
    remote = [name for name in names if _REMOTE.match(name)] + remote_requests(context.get("body") or "")
    for address in remote:
        logger.warning("the page would fetch %s: put it beside the book", address, location=page, type="offline")


def _say_in_words(
    _app: Sphinx, _page: str, _template: str, context: dict[str, Any], _doctree: nodes.document | None
) -> None:
    """For readers who hear the page: what each arrow of the tree of pages unfolds, and references that are a list.

    Docutils gives the entries of its list a role of their own, which is withdrawn and which no list may hold.
    """
    context["body"] = (context.get("body") or "").replace('role="doc-biblioentry"', 'role="listitem"')
    if (tree := context.get("generate_toctree_html")) is not None:
        named = r'\1 aria-label="Pages of \g<title>">'
        context["generate_toctree_html"] = lambda *given, **options: _FOLDED.sub(named, str(tree(*given, **options)))


def _tell_address(app: Sphinx, config: Any) -> None:
    """Say below every page where the source lies, if CITATION.cff does: the theme's buttons know few hosts."""
    stated = Path(app.srcdir) / "CITATION.cff"
    found = yaml.safe_load(stated.read_text(encoding="utf-8")) if stated.is_file() else {}
    if address := html.escape(str(found.get("repository-code") or "").rstrip("/")):
        links = f'<a href="{address}">Source</a>, <a href="{address}/issues">questions and faults</a>'
        said = config.html_theme_options.get("extra_footer", "")
        config.html_theme_options = {**config.html_theme_options, "extra_footer": f"{said}<p>{links}</p>"}


def _drop_thebe_nodes(_app: Sphinx, doctree: nodes.document, _page: str) -> None:
    for node in list(doctree.findall(nodes.raw)):
        text = node.astext()
        if "x-thebe-config" in text or "kernelName" in text:
            node.parent.remove(node)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the steps with Sphinx."""
    app.connect("config-inited", _tell_address)
    app.connect("source-read", _read_executed)
    app.connect("source-read", _find_generated)
    app.connect("build-finished", _offer_executed)
    app.connect("doctree-resolved", _drop_thebe_nodes, priority=_LATE)
    app.connect("html-page-context", _guard_page, priority=_LATE)
    app.connect("html-page-context", _say_in_words, priority=_LATE)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
