"""The local folder that stands for an address in object storage, so that all the rest of the library sees paths.

What the store has is fetched, what the folder has is pushed; each file appears whole or not at all on either side. A
memory beside the copies knows which object each file was equal to last, so that neither side is read in vain; without
it, digests are compared. Names that begin as temporary files do, and links to folders, belong to one side alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath

from actionbook.core.errors import BookError
from actionbook.core.files import TEMPORARY, existing, write_text_atomic
from actionbook.core.object_store import Entry, ObjectStore
from actionbook.core.paths import cache_root, shown
from actionbook.core.progress import progress_bar

logger = logging.getLogger(__name__)

BLOCK = 2**24
"""Bytes that are asked for at once; an interrupted fetch goes on after the last whole block of a file."""
AT_ONCE = 8
_SECONDS = 2.0
"""After so many a push writes down how far it has come."""
_MD5 = re.compile(r"[0-9a-f]{32}")

Known = dict[str, tuple[str, int, int]]
"""By name: the ETag of the object, and bytes and time of change (ns) of the file that was equal to it."""
_NEVER = ("", -1, -1)
"""Of a name that is not known."""


@dataclass(frozen=True)
class LocalCopy:
    """An address and its folder below `cache_root`: ``<endpoint>/<bucket>/<prefix>``, so that neighbours stay such."""

    store: ObjectStore
    folder: Path

    @classmethod
    def of(cls, name: str, value: str) -> LocalCopy:
        """The copy of what the parameter `name` addresses. Raises BookError for what is no address."""
        store = ObjectStore.of(name, value)
        return cls(store, cache_root().joinpath(store.host, store.bucket, *PurePosixPath(store.prefix).parts))

    def beside(self, name: str) -> LocalCopy:
        """The copy of the neighbour of that name: another data set. Raises BookError beside a whole bucket."""
        parent = PurePosixPath(self.store.prefix).parent
        if not self.store.prefix:
            raise BookError(f"{self.store}: {name} lies beside it, which nothing can; name a folder of the bucket")
        return LocalCopy.of("data_root", f"{self.store.scheme}://{self.store.bucket}/{parent / name}")

    def fetch(self, *below: str, skip: tuple[str, ...] = (), ours: bool = False) -> int:
        """Bring the objects whose names begin with one of `below` (all: ``""``) and none of `skip`; returns how many
        the store has.

        Only what is missing or differs is read: by size and ETag, and an ETag that is an MD5 is compared with what has
        come. What is `ours` is also written here, and kept where it has changed since it was last equal to the store's;
        where both have changed, the store's is taken. Raises BookError for a store that cannot be reached, an object
        that does not come as the store describes it, and a disk that is too small.
        """
        wanted: dict[str, Entry] = {}
        for start in below or ("",):
            wanted |= self.store.files(start)
        wanted = {name: of for name, of in wanted.items() if not name.startswith(skip) and not _temporary(name)}
        with self._alone() as known:
            lacking = [one for one in wanted.items() if not self._is_here(*one, known, ours)]
            lacking.sort(key=lambda one: one[1].modified)  # files have an order in time, and keep it
            total = sum(entry.size for _, entry in lacking)
            self._make_room(total)
            try:
                with progress_bar(total, f"fetching {self.store}", "B", delay=1.0) as bar:
                    _at_once(lambda one: self._fetch(one[0], one[1], known, bar.update), lacking)
            finally:
                self._remember(known)
        return len(wanted)

    def unpushed(self, below: Iterable[str]) -> list[str]:
        """Names of the files that the store does not have as they are, as far as the memory knows; oldest first."""
        with self._alone() as known:
            return self._changed(self._files(below), known)

    def push(self, below: Iterable[str], seen: set[str], *, ordered: str = "", quiet: bool = True) -> None:
        """Send what is new or changed here, oldest first, and remove there what was `seen` here and is no more.

        Of the names that begin with `ordered` none arrives before an older one, but for files of one folder and one
        ending; a state without what it rests on would be no state. Others may. `seen` is brought up to date. An object
        that somebody else has changed is not removed. Raises BookError at the first file that cannot be sent.
        """
        with self._alone() as known:
            here = self._files(below)
            changed = self._changed(here, known)
            waves = [[name for name in changed if not name.startswith(ordered)]] if ordered else []
            strict = [name for name in changed if name.startswith(ordered)]
            waves += [
                list(wave) for _, wave in groupby(strict, key=lambda name: (Path(name).parent, Path(name).suffix))
            ]
            total, said = sum(here[name].st_size for name in changed), time.monotonic()
            try:
                with progress_bar(total, f"sending to {self.store}", "B", delay=math.inf if quiet else 2.0) as bar:
                    for wave in waves:
                        _at_once(lambda name: self._send(name, known, seen, bar.update), wave)
                        if wave and time.monotonic() - said > _SECONDS:
                            self._remember(known)
                            said = time.monotonic()
                if self.folder.is_dir():  # else somebody has removed the copy, which says nothing about the store
                    for name in sorted(seen - set(here)):
                        self._remove(name, known)
                        seen.discard(name)
            finally:
                self._remember(known)
            seen.update(here)

    def _is_here(self, name: str, entry: Entry, known: Known, ours: bool) -> bool:
        path, (etag, *then) = self.folder / name, known.get(name, _NEVER)
        if not path.is_file():
            return False
        status = path.stat()
        same_here, same_there = then == [status.st_size, status.st_mtime_ns], etag == entry.etag
        if same_there and (same_here or ours):
            return True
        if status.st_size == entry.size and _MD5.fullmatch(entry.etag) and _md5(path) == entry.etag:
            known[name] = _known(entry, status)
            return True
        if ours and not same_here:
            logger.warning("%s: another one is in %s, which is taken: another job has written there", path, self.store)
        return False

    def _make_room(self, needed: int) -> None:
        free = shutil.disk_usage(existing(self.folder)).free
        if needed > free:
            raise BookError(
                f"{self.store}: {needed / 2**30:.1f} GiB are to be fetched, and {shown(self.folder)} has room for "
                f"{free / 2**30:.1f}; set ACTIONBOOK_CACHE to a folder on a larger disk"
            )

    def _fetch(self, name: str, entry: Entry, known: Known, done: Callable[[int], object]) -> None:
        path = self.folder / name
        part = path.with_name(f"{TEMPORARY}part-{hashlib.sha256(f'{name} {entry.etag}'.encode()).hexdigest()[:24]}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("ab") as file:
                if file.tell() > entry.size:
                    file.truncate(0)
                done(file.tell())
                for start in range(file.tell(), entry.size, BLOCK):
                    block = self.store.read(name, start, min(start + BLOCK, entry.size))
                    file.write(block)
                    done(len(block))
            try:
                self._check(name, part, entry)
            except BookError:
                part.unlink()
                raise
            os.utime(part, (entry.modified, entry.modified))
            part.replace(path)
        except OSError as error:
            raise BookError(f"{shown(path)}: cannot be written ({error.strerror}); {self.store} goes there") from error
        known[name] = _known(entry, path.stat())

    def _files(self, below: Iterable[str]) -> dict[str, os.stat_result]:
        """The whole files here, by name."""
        starts = tuple(below)
        found = {}
        # Only folders that can hold such names are looked at: the rest may be large, or another job's.
        tops = {self.folder / start.rpartition("/")[0] for start in starts}
        for top in tops:
            for place, _, names in os.walk(top):
                for name in names:
                    path = Path(place, name)
                    own = path.relative_to(self.folder).as_posix()
                    if own.startswith(starts) and not name.startswith(TEMPORARY):
                        try:
                            found[own] = path.stat()
                        except OSError:  # it has been replaced or removed this moment
                            continue
        return found

    @staticmethod
    def _changed(here: Mapping[str, os.stat_result], known: Known) -> list[str]:
        lacking = [name for name, now in here.items() if known.get(name, _NEVER)[1:] != (now.st_size, now.st_mtime_ns)]
        return sorted(lacking, key=lambda name: (here[name].st_mtime_ns, name))

    def _send(self, name: str, known: Known, seen: set[str], done: Callable[[int], object]) -> None:
        path = self.folder / name
        try:
            before = path.stat()
            entry = self.store.write(name, path)
        except (BookError, FileNotFoundError):
            if path.exists():
                raise
            return  # removed while it was sent: the next look sees that
        known[name] = _known(entry, before)  # of before: what has been written since is sent again
        seen.add(name)
        done(before.st_size)
        try:
            if _known(entry, path.stat()) == known[name]:
                self._check(name, path, entry)
        except FileNotFoundError:
            return
        except BookError:
            del known[name]
            raise

    def _check(self, name: str, path: Path, entry: Entry) -> None:
        """Compare a file with what the store says of the object. Raises BookError where they differ."""
        size, digest = path.stat().st_size, _md5(path) if _MD5.fullmatch(entry.etag) else entry.etag
        if size != entry.size or (digest != entry.etag and self.store.digest_is_md5(name)):
            raise BookError(
                f"{self.store}/{name}: the store has {entry.size} bytes with digest {entry.etag}, here are {size} with "
                f"{digest}: it was changed meanwhile, or damaged on its way; run again"
            )

    def _remove(self, name: str, known: Known) -> None:
        etag, *_ = known.pop(name, _NEVER)
        there = self.store.entry(name)
        if there and there.etag == etag:
            self.store.remove(name)

    @contextmanager
    def _alone(self) -> Iterator[Known]:
        """What was known, while no other process of this machine works on this copy."""
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        with self._memory.with_suffix(".lock").open("w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                said = json.loads(self._memory.read_text(encoding="utf-8"))
            except (OSError, ValueError):  # none yet; or damaged: digests tell
                said = {}
            yield {name: (str(etag), int(size), int(changed)) for name, (etag, size, changed) in said.items()}

    def _remember(self, known: Known) -> None:
        write_text_atomic(self._memory, json.dumps(known, ensure_ascii=False))

    @property
    def _memory(self) -> Path:
        name = hashlib.sha256(f"{self.store.host} {self.store}".encode()).hexdigest()[:16]
        return cache_root() / "known" / f"{name}.json"


def _at_once(work: Callable[..., None], items: list) -> None:
    """`work` on each of `items`, some of them side by side; the first error ends it."""
    if len(items) < 2:
        for one in items:
            work(one)
        return
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [pool.submit(work, one) for one in items]
        try:
            for future in futures:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _known(entry: Entry, status: os.stat_result) -> tuple[str, int, int]:
    return entry.etag, status.st_size, status.st_mtime_ns


def _temporary(name: str) -> bool:
    return PurePosixPath(name).name.startswith(TEMPORARY)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
