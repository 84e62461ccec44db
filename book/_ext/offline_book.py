"""Sphinx extension that keeps the book readable without a network.

Jupyter Book always loads sphinx-thebe, whose inline script names a remote file, is put on every page twice (the second
is an error in the browser's console) and is of no use without a server to run cells on: it is taken out. Any other
script, style sheet, picture or frame that a page would fetch from elsewhere is a warning, and so fails a ``-W`` build.
"""

from __future__ import annotations

import re
from typing import Any

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
_STYLE_BLOCK = re.compile(r"<style\b[^>]*>(.*?)</style>", re.IGNORECASE | re.DOTALL)


def remote_requests(html: str) -> list[str]:
    """Addresses that a browser would fetch from elsewhere when it shows `html`."""
    styles = "\n".join(_STYLE_BLOCK.findall(html))
    return _TAG.findall(html) + _STYLE.findall(styles)


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


def _drop_thebe_nodes(_app: Sphinx, doctree: nodes.document, _page: str) -> None:
    for node in list(doctree.findall(nodes.raw)):
        text = node.astext()
        if "x-thebe-config" in text or "kernelName" in text:
            node.parent.remove(node)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the two steps with Sphinx."""
    app.connect("doctree-resolved", _drop_thebe_nodes, priority=_LATE)
    app.connect("html-page-context", _guard_page, priority=_LATE)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
