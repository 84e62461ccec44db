"""The book as its readers meet it: complete, without warnings, offline, searchable, dark, and as narrow as a phone."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml
from nbval.plugin import get_sanitize_patterns

import actionbook
from actionbook.core.paths import NOTEBOOKS, ROOT
from actionbook.notebooks import is_source

CHROMIUM = next(filter(None, map(shutil.which, ["google-chrome", "chromium", "chromium-browser"])), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (apt-get install chromium)")
PHONE = {"width": 390, "height": 844}


def toc_files() -> list[str]:
    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            yield from (str(node[key]) for key in ("root", "file") if key in node)
            node = list(node.values())
        for child in node if isinstance(node, list) else []:
            yield from walk(child)

    return list(walk(yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())))


def test_contents_list_every_page_and_notebook() -> None:
    pages = list((ROOT / "book").glob("*.md"))
    pages += [path for path in NOTEBOOKS.rglob("*.md") if is_source(path) or path.name == "index.md"]
    wanted = {path.relative_to(ROOT).with_suffix("").as_posix() for path in pages}
    assert set(toc_files()) == wanted


def test_citation_file_agrees_with_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "type", "authors", "license", "version"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == actionbook.__version__
    assert citation["license"] in (ROOT / "pyproject.toml").read_text()


@pytest.fixture(scope="module")
def offline_book() -> ModuleType:
    spec = importlib.util.spec_from_file_location("offline_book", ROOT / "book" / "_ext" / "offline_book.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "html",
    [
        '<script async src="https://cdn.example/x.js"></script>',
        "<img alt='a > b' src=//cdn.example/x.png>",
        '<link rel="stylesheet" href="http://cdn.example/x.css"/>',
        "<style>@import url('https://cdn.example/x.css');</style>",
        "<style>p { background: url(https://cdn.example/x.png) }</style>",
    ],
)
def test_offline_guard_sees_what_a_browser_would_fetch(offline_book: ModuleType, html: str) -> None:
    (address,) = offline_book.remote_requests(f"<p>text</p>{html}")
    assert "cdn.example" in address


def test_offline_guard_leaves_links_and_shown_code_alone(offline_book: ModuleType) -> None:
    html = (
        '<a href="https://a.example">a</a><img src="x.png"><code>&lt;script src="https://a.example"&gt; url(//a)</code>'
    )
    assert offline_book.remote_requests(html) == []


def sanitise(text: str) -> str:
    for pattern, replacement in get_sanitize_patterns((ROOT / "tests" / "nbval_sanitize.cfg").read_text()):
        text = re.sub(pattern, replacement, text)
    return text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("prepared in 3.2 s", "prepared in 11 s"),
        ("2026-01-31 09:08:07", "2027-11-01T23:59:00.123"),
        ("412.5 clips/s", "80 clips/s"),
        ("at 0x7f3a12bc90", "at 0x55d0c0ffee10"),
        ("/home/a/book/work/efficient3d/mini/x", "/tmp/b/_build/test-work/efficient3d/mini/x"),
        ("work/efficient3d/mini/x", "_build/test-work/efficient3d/mini/x"),
        ("/tmp/ipykernel_12/345.py:3: UserWarning", "/var/tmp/ipykernel_9/1.py:3: UserWarning"),
        ("[WARNING] ME(1:2,MainProcess): slow\nend", "[WARNING] ME(8:9,MainProcess): x\n[INFO] y\nend"),
    ],
)
def test_what_differs_between_machines_is_not_compared(one: str, other: str) -> None:
    assert sanitise(one) == sanitise(other)


@pytest.mark.parametrize(
    "text", ["top-1 0.8113 (3069/3783)", "2,483,429 parameters", "(3, 16, 112, 112)", "12 videos", "7%"]
)
def test_results_are_compared(text: str) -> None:
    assert sanitise(text) == text


def test_pages_show_what_was_executed_where_it_is_asked_for(
    offline_book: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, plain = "notebooks/toy/01_toy", "notebooks/toy/index"
    (tmp_path / "executed" / "toy").mkdir(parents=True)
    (tmp_path / "executed" / "toy" / "01_toy.ipynb").write_text("executed")
    copied = tmp_path / "html" / "_sources" / f"{page}.ipynb"
    copied.parent.mkdir(parents=True)
    copied.write_text("committed")
    paths = {page: "01_toy.ipynb", plain: "index.md", "book/intro": "intro.md"}
    env = SimpleNamespace(doc2path=paths.__getitem__, found_docs=set(paths))
    app = SimpleNamespace(env=env, srcdir=tmp_path, outdir=tmp_path / "html")

    def read(name: str) -> str:
        content = ["committed"]
        offline_book._read_executed(app, name, content)
        return content[0]

    monkeypatch.delenv("ACTIONBOOK_EXECUTED", raising=False)
    assert [read(name) for name in paths] == ["committed"] * 3
    monkeypatch.setenv("ACTIONBOOK_EXECUTED", "executed")
    assert [read(name) for name in paths] == ["executed", "committed", "committed"]
    offline_book._offer_executed(app, None)
    assert copied.read_text() == "executed"


def test_generated_pages_are_included_from_where_they_are(
    offline_book: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "# Status\n\n```{include} _generated/status.md\n```\n"
    env = SimpleNamespace(doc2path=lambda page: str(tmp_path / f"{page}.md"))

    def read() -> str:
        content = [text]
        offline_book._find_generated(SimpleNamespace(env=env, srcdir=tmp_path), "book/status", content)
        return content[0]

    monkeypatch.delenv("ACTIONBOOK_BUILD", raising=False)
    assert read() == text
    for build in ("out", str(tmp_path / "out")):
        monkeypatch.setenv("ACTIONBOOK_BUILD", build)
        assert read() == text.replace("_generated/", "../out/generated/")


def test_chapters_find_generated_pages_too(
    offline_book: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = SimpleNamespace(doc2path=lambda page: str(tmp_path / f"{page}.md"))
    content = ["# ECO\n\n```{include} ../../book/_generated/eco_film.md\n```\n"]
    monkeypatch.setenv("ACTIONBOOK_BUILD", "out")
    offline_book._find_generated(SimpleNamespace(env=env, srcdir=tmp_path), "notebooks/eco/index", content)
    assert content == ["# ECO\n\n```{include} ../../out/generated/eco_film.md\n```\n"]


def test_arrows_and_references_are_said_in_words(offline_book: ModuleType) -> None:
    tree = '<a class="reference internal" href="i3d.html">I3D</a><details><summary><i></i></summary></details>'
    body = '<div role="list"><div class="citation" role="doc-biblioentry">A paper</div></div>'
    context = {"generate_toctree_html": lambda kind, depth=0: f"{kind}{depth}{tree}", "body": body}
    offline_book._say_in_words(None, "book/intro", "page.html", context, None)
    said = context["generate_toctree_html"]("sidebar", depth=2)
    assert said == f"sidebar2{tree}".replace("<summary>", '<summary aria-label="Pages of I3D">')
    assert context["body"] == body.replace("doc-biblioentry", "listitem")


def test_every_page_says_where_the_source_lies_once_that_is_stated(offline_book: ModuleType, tmp_path: Path) -> None:
    config = SimpleNamespace(html_theme_options={"extra_footer": "Said."})
    citation = tmp_path / "CITATION.cff"
    for text in (None, "title: A book\n", "repository-code:\n"):
        if text:
            citation.write_text(text)
        offline_book._tell_address(SimpleNamespace(srcdir=tmp_path), config)
        assert config.html_theme_options == {"extra_footer": "Said."}
    citation.write_text("repository-code: https://host.example/book/\n")
    offline_book._tell_address(SimpleNamespace(srcdir=tmp_path), config)
    links = re.findall(r'href="([^"]*)"', config.html_theme_options["extra_footer"])
    assert links == ["https://host.example/book", "https://host.example/book/issues"]


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The book, built from the committed notebooks with warnings as errors; the folder of its pages."""
    source = tmp_path_factory.mktemp("book")
    subprocess.run([sys.executable, "-m", "actionbook.results.pages"], check=True, cwd=ROOT)
    for name in ("_config.yml", "CITATION.cff"):
        shutil.copy(ROOT / name, source)
    for folder in ("book", "notebooks"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    command = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    options = ["--config", "_config.yml", "--toc", "book/_toc.yml", "--path-output", ".", "-W", "-n", "--keep-going"]
    run = subprocess.run(
        [sys.executable, "-c", command, "build", ".", *options], cwd=source, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
    return source / "_build" / "html"


def test_book_builds_without_warnings_and_has_every_page(html: Path) -> None:
    assert [name for name in toc_files() if not (html / f"{name}.html").is_file()] == []


@pytest.fixture(scope="module")
def address(html: Path) -> Iterator[str]:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(html))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    quiet = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-proxy-server",
    ]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield running
        running.close()


def watch(page: Any, address: str) -> list[str]:
    """A list that fills with what goes wrong on `page`: requests elsewhere, errors, files not found."""
    faults: list[str] = []
    local = (address, "data:", "blob:")
    page.on("request", lambda r: None if r.url.startswith(local) else faults.append(f"fetches {r.url}"))
    page.on("console", lambda m: faults.append(f"console: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(f"exception: {error}"))
    page.on("response", lambda r: faults.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    return faults


@pytest.mark.browser
@needs_chromium
def test_pages_stay_offline_free_of_errors_and_no_wider_than_a_phone(html: Path, address: str, browser: Any) -> None:
    names = [path.relative_to(html).as_posix() for path in sorted(html.rglob("*.html")) if "_static" not in path.parts]
    assert len(names) > len(toc_files())  # search and index pages as well
    context = browser.new_context(viewport=PHONE)
    faults: dict[str, list[str]] = {}
    for start in range(0, len(names), 10):  # ten wait side by side until nothing has been fetched for half a second
        pages = {name: context.new_page() for name in names[start : start + 10]}
        for name, page in pages.items():
            faults[name] = watch(page, address)
            page.goto(address + name, wait_until="commit")
        for name, page in pages.items():
            page.wait_for_load_state("networkidle")
            width = page.evaluate("document.documentElement.scrollWidth")
            if width > PHONE["width"]:
                faults[name].append(f"scrolls sideways: {width} pixels wide")
            page.close()
    context.close()
    assert {name: found for name, found in faults.items() if found} == {}


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("dampening", "book/glossary"),
        ("license", "book/about"),
        ("citation", "book/about"),
        ("bibtex", "book/about"),
        ("several cards", "book/faq"),
        ("several cards", "book/run_it_yourself"),
        ("my own video", "book/faq"),
        ("own video", "notebooks/your_own_video"),
        ("download", "book/run_it_yourself"),
        ("out of memory", "book/faq"),
        ("pdf", "book/run_it_yourself"),
        ("hand-off", "notebooks/eco/02_architecture"),
        ("roialign", "book/glossary"),
        ("average precision", "notebooks/keyframes_and_boxes"),
        ("slow pathway", "notebooks/slowfast/02_architecture"),
        ("five papers", "book/five_papers"),
    ],
)
def test_search_finds_what_a_reader_types(address: str, browser: Any, words: str, wanted: str) -> None:
    page = browser.new_page()
    faults = watch(page, address)
    page.goto(f"{address}search.html?q={words.replace(' ', '+')}")
    page.wait_for_selector("#search-results li a")
    page.wait_for_function("!document.querySelector('#search-progress')?.textContent.includes('Searching')")
    links = page.eval_on_selector_all("#search-results li a", "items => items.map(a => a.getAttribute('href'))")
    assert any(wanted in link for link in links[:8]), links
    assert faults == []
    page.close()


COLOURED = (
    "book/ascend.html",
    "book/five_papers.html",
    "book/intro.html",
    "book/scoreboard.html",
    "book/status.html",
    "notebooks/efficient3d/02_architecture.html",
    "notebooks/efficient3d/04_conversion.html",
    "notebooks/your_own_video.html",
)
"""Pages that together have every kind of thing with a colour: looking at contrasts takes most of the time."""


@pytest.mark.browser
@needs_chromium
def test_nothing_on_a_page_keeps_readers_out(html: Path, address: str, browser: Any) -> None:
    """No finding of axe-core that is serious or critical, on a wide, light page; on some, on a dark phone as well."""
    from axe_playwright_python.sync_playwright import Axe

    options = {"resultTypes": ["violations"]}
    narrow = {**options, "runOnly": {"type": "rule", "values": ["color-contrast", "scrollable-region-focusable"]}}
    plain = {**options, "rules": {"color-contrast": {"enabled": False}}}
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    faults: dict[str, list[str]] = {}
    names = {path.relative_to(html).as_posix() for path in html.rglob("*.html") if "_static" not in path.parts}
    assert set(COLOURED) <= names
    names.remove("index.html")  # it leads on to the first page at once
    for name in sorted(names):
        page.set_viewport_size(PHONE)
        page.goto(address + name, wait_until="load")
        found = Axe().run(page, None, narrow).response["violations"] if name in COLOURED else []
        page.evaluate("document.documentElement.dataset.theme = document.documentElement.dataset.mode = 'light'")
        page.set_viewport_size({"width": 1400, "height": 900})
        found += Axe().run(page, None, options if name in COLOURED else plain).response["violations"]
        for one in found:
            if one["impact"] in ("serious", "critical"):
                faults.setdefault(name, []).extend(f"{one['id']}: {node['html'][:200]}" for node in one["nodes"][:3])
    context.close()
    assert faults == {}


@pytest.mark.browser
@needs_chromium
def test_dark_mode_can_be_chosen_and_is_dark(address: str, browser: Any) -> None:
    context = browser.new_context(color_scheme="light")
    page = context.new_page()
    page.goto(address + "book/intro.html")

    def lightness() -> float:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / (3 * 255)

    assert lightness() > 0.9
    for _ in range(3):  # the button goes round: auto, light, dark
        if page.evaluate("document.documentElement.dataset.theme") == "dark":
            break
        page.locator("button.theme-switch-button:visible").first.click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert lightness() < 0.2
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"  # it is remembered
    context.close()
