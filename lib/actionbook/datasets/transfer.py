"""One file on its way over HTTP: it goes on where it broke off, and never gets its own name here."""

from __future__ import annotations

import errno
import json
import logging
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

from actionbook.core.errors import BookError
from actionbook.core.files import write_json_atomic
from actionbook.core.paths import shown
from actionbook.core.progress import progress_bar
from actionbook.core.sources import Source

logger = logging.getLogger(__name__)

TIMEOUT = (20.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes."""
_BLOCK = 1 << 16  # what is lost of a transfer that breaks off is less than this
_LATER = {408, 425, 429, 500, 502, 503, 504}  # answers of a server that may be another in a minute


class Transfer:
    """What has come of `source`, in ``<name>.part``, and what the server said of it, in ``<name>.part.json``."""

    def __init__(self, source: Source, path: Path) -> None:
        self.source, self.path = source, path
        self.part = path.with_name(f"{path.name}.part")
        self.have = 0
        self.resumed = False
        """Whether some of the bytes come from another answer of the server than the rest."""
        self._note_file = path.with_name(f"{path.name}.part.json")
        self._note: dict[str, Any] = {}
        self._total = source.bytes

    def run(self, pauses: Sequence[float]) -> None:
        """Fetch what is missing; after a fault try again, with a pause before each attempt that gets no further.

        Raises BookError saying why it does not work and what to do, OSError where the disk fails but for want of room;
        what has come by then is kept.
        """
        self.resumed = False
        # Unbuffered: what could not be written must not be counted, nor written later.
        with (
            self.part.open("ab", buffering=0) as self._file,
            progress_bar(self._total or 0, self.path.name, "B") as self._bar,
        ):
            try:
                self._look_at_part()
                furthest, waits = self.have, iter(pauses)
                while self.have != self._total and (fault := self._attempt()):
                    if self.have > furthest:
                        furthest, waits = self.have, iter(pauses)
                    pause = next(waits, None)
                    if pause is None:
                        raise self._error(fault)
                    logger.warning("%s: %s; trying again in %g s", self.path.name, fault, pause)
                    time.sleep(pause)
            except BaseException:
                if not self.have:
                    self.drop()
                raise

    def drop(self) -> None:
        """Delete what has come."""
        self.part.unlink(missing_ok=True)
        self._note_file.unlink(missing_ok=True)
        self.have = 0

    def finish(self) -> None:
        """Give the file its name."""
        self.part.replace(self.path)
        self._note_file.unlink(missing_ok=True)

    def _look_at_part(self) -> None:
        """Decide whether what an earlier run has left is used, and say so in `have`."""
        self.have = self.part.stat().st_size
        try:
            self._note = dict(json.loads(self._note_file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            self._note = {}
        published = self.source.status != "tofu"
        total = self._note.get("total")
        if self._total is None and isinstance(total, int):
            self._total = total
        too_long = self._total is not None and self.have > self._total
        if self.have and (self._note.get("url") != self.source.url or too_long or not (published or self._validator())):
            self._start_over()
        self.resumed = self.have > 0
        self._bar.initial = self._bar.n = self.have  # not counted as speed

    def _validator(self) -> str | None:
        """By which the server knows whether the file is still the one that the first part is of."""
        etag = self._note.get("etag")
        return etag if etag and not str(etag).startswith("W/") else self._note.get("last_modified")

    def _start_over(self) -> None:
        self._file.truncate(0)
        self._bar.reset()
        self.have = 0
        self.resumed = False

    def _attempt(self) -> str:
        """One request. What went wrong if it is worth another, nothing if the server has sent all it has."""
        headers = {"Accept-Encoding": "identity"}
        if self.have:
            headers["Range"] = f"bytes={self.have}-"
            if validator := self._validator():
                headers["If-Range"] = validator
        try:
            with requests.get(str(self.source.url), headers=headers, timeout=TIMEOUT, stream=True) as response:
                if fault := self._fault(response):
                    return fault
                for block in response.iter_content(_BLOCK):
                    self._write(block)
        except requests.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" not in str(error):
                return _reason(error)
            raise self._error(
                f"the server's certificate cannot be verified ({_reason(error)}); check the clock and the installed "
                "certificates of this machine (REQUESTS_CA_BUNDLE names others)"
            ) from error
        except (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.ChunkedEncodingError,
        ) as error:
            return _reason(error)
        except requests.RequestException as error:
            raise self._error(_reason(error)) from error
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            missing = "the rest" if self._total is None else f"{self._total - self.have:,} bytes more"
            raise self._error(f"the disk of {shown(self.part)} is full; make room for {missing}") from error
        if self._total is not None and self.have < self._total:
            return f"the transfer ended after {self.have:,} of {self._total:,} bytes"
        return ""

    def _fault(self, response: requests.Response) -> str:
        """Why nothing of an answer is taken, if it is worth another attempt; no text if its bytes are to be written."""
        # Digests are of the bytes that are published, so what a server calls an encoding of them stays on.
        response.raw.headers.pop("content-encoding", None)
        etag, modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
        status, fault = response.status_code, f"the server answers {response.status_code} {response.reason}"
        if status == requests.codes.partial_content and self.have:
            found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
            if not found or int(found[1]) != self.have or (etag and etag != self._note.get("etag", etag)):
                self._start_over()
                return "the server sent another part of the file than it was asked for"
            length = found[2]
            self.resumed = True
        elif status == requests.codes.ok:
            self._start_over()  # also where the server does not know ranges, or the file has changed
            length = response.headers.get("Content-Length", "")
        elif status == requests.codes.requested_range_not_satisfiable and self.have:
            self._start_over()
            return fault
        elif status in _LATER:
            return fault
        else:
            raise self._error(fault)
        self._expect(int(length) if length.isdecimal() else None, response)
        self._note = {"url": self.source.url, "etag": etag, "last_modified": modified, "total": self._total}
        write_json_atomic(self._note_file, self._note)
        return ""

    def _write(self, data: bytes) -> None:
        if self._total is not None and self.have + len(data) > self._total:
            raise self._error(f"more than the {self._total:,} bytes that were to be expected have come")
        rest = memoryview(data)
        while rest:
            written = self._file.write(rest)
            self.have += written
            self._bar.update(written)
            rest = rest[written:]

    def _expect(self, total: int | None, response: requests.Response) -> None:
        """Compare the announced length with the published one, and with the room on the disk."""
        published = self.source.bytes
        if None not in {total, published} and total != published:
            raise self._error(
                f"the server offers {total:,} bytes ({response.headers.get('Content-Type', 'of unknown type')}), "
                f"the manifest says {published:,}: the file is not there any more, or is another"
            )
        self._total = published if total is None else total
        if self._total is None and self.source.status == "tofu" and not getattr(response.raw, "chunked", False):
            raise self._error("the server does not say how long the file is, so a part could be taken for the whole")
        missing, free = (self._total or 0) - self.have, shutil.disk_usage(self.part.parent).free
        if missing > free:
            raise self._error(f"{missing:,} bytes are still to come, but {free:,} are free on the disk: make room")
        self._bar.total = self._total

    def _error(self, why: str) -> BookError:
        of_all = "" if self._total is None else f" of {self._total:,}"
        kept = (
            f"{self.have:,}{of_all} bytes are kept in {shown(self.part)}, and the same command goes on from there. "
            if self.have
            else ""
        )
        return BookError(
            f"{self.source.url}: {why}. {kept}Or get {self.path.name} another way and put it at {shown(self.path)}, "
            "where it is verified just as well"
        )


def _reason(error: requests.RequestException) -> str:
    """The words of the innermost cause, without the names of objects."""
    cause: Any = error
    while True:
        inner = getattr(cause, "reason", None) or (cause.args[0] if cause.args else None)
        if not isinstance(inner, Exception):
            break
        cause = inner
    text = cause.args[0] if cause.args and isinstance(cause.args[0], str) else str(cause)
    return re.sub(r"^\w+\((?:host=)?[^()]*\): ", "", text) or type(error).__name__
