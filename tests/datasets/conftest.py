"""Data sets of manifests that are in no file yet, and a web server on the loopback that can go wrong in many ways."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actionbook.core.manifest import DatasetManifest
from actionbook.core.sections import Data
from actionbook.datasets import transfer
from actionbook.datasets.dataset import Dataset


@pytest.fixture
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Dataset]:
    """A function of a manifest, a root and entries of a recipe's section `data`; stores and index lie elsewhere."""

    def make(manifest: DatasetManifest, root: Path, **data: Any) -> Dataset:
        folder = tmp_path_factory.mktemp("dataset")
        file = folder / f"{manifest.name}.yaml"
        file.write_text(json.dumps(manifest.model_dump(mode="json")), encoding="utf-8")  # JSON is YAML
        places = {name: str(value) if isinstance(value, Path) else value for name, value in data.items()}
        return Dataset(Data(manifest=str(file), **places), root, folder / "frames", folder / "work")

    return make


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`; each request uses up one entry of `server.script`, which says how it goes wrong."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        how = self.server.script.pop(0) if self.server.script else {}
        entry = {"path": self.path, "range": self.headers["Range"], "if": self.headers["If-Range"], "sent": 0}
        entry["accepts"] = self.headers["Accept-Encoding"]
        self.server.log.append(entry)
        if "status" in how:
            self.send_response(how["status"])
            self.send_header("Location", how.get("to", "/nowhere"))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = self.server.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        tag = how.get("tag", '"v1"')
        start, wanted = 0, re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if wanted and not how.get("no_ranges") and self.headers["If-Range"] in {None, tag}:
            start = int(wanted[1])
            if start >= len(data):
                self.send_error(416)
                return
            self.send_response(206)
            first = how.get("starts_at", start)
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        body = data[start:]
        if how.get("length", True):
            self.send_header("Content-Length", str(len(body)))
        if tag:
            self.send_header("ETag", tag)
        if "encoding" in how:
            self.send_header("Content-Encoding", how["encoding"])
        self.send_header("Connection", "close")
        self.end_headers()
        body = body[: how.get("cut", len(body))]
        entry["sent"] = len(body)
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.script: list[dict[str, Any]] = []
        self.log: list[dict[str, Any]] = []

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(transfer, "TIMEOUT", (2.0, 0.5))
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
