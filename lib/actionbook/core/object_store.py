"""Object storage behind addresses such as ``s3://bucket/prefix`` and ``obs://bucket/prefix``, through fsspec and s3fs.

OBS speaks S3's language: ``obs://`` differs in its endpoint alone. Endpoint, keys and region come from the environment
variables that every S3 program reads (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN,
AWS_DEFAULT_REGION); S3_ENDPOINT, which moxing reads, is taken where the first is not set.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from actionbook.core.errors import BookError
from actionbook.core.paths import is_address

_SCHEMES = ("s3", "obs")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,62}")
_SECONDS = 20
"""To wait for a connection; a silent one is given three times as long."""


@dataclass(frozen=True)
class Entry:
    """What a store says of one object."""

    size: int
    """Bytes."""
    etag: str
    """Changes with the content; of an object that was sent in one piece usually its MD5."""
    modified: float
    """Seconds since 1970, by the store's clock."""


@dataclass(frozen=True)
class ObjectStore:
    """All objects below one address. Names are relative to it, with ``/`` between their parts.

    Every method raises BookError that names the address, the store's reason and what to set.
    """

    scheme: str
    bucket: str
    prefix: str
    """Without ``/`` at its ends; empty: the whole bucket."""

    @classmethod
    def of(cls, name: str, value: str) -> ObjectStore:
        """The store that a parameter called `name` addresses. Nothing is asked of it yet."""
        scheme, _, rest = value.strip().partition("://")
        bucket, _, prefix = rest.partition("/")
        parts = [part for part in prefix.split("/") if part]
        good = is_address(value) and scheme in _SCHEMES and _BUCKET.fullmatch(bucket)
        if not good or any(part in (".", "..") for part in parts):
            raise BookError(f"{name} {value!r}: expected a folder, or an address s3://bucket/folder or obs://…")
        return cls(scheme, bucket, "/".join(parts))

    def __str__(self) -> str:
        return f"{self.scheme}://{self._key('')}".rstrip("/")

    @property
    def endpoint(self) -> str | None:
        """Where the store is; None: Amazon's."""
        given = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        if not given and (moxing := os.environ.get("S3_ENDPOINT")):
            given = moxing if is_address(moxing) else f"https://{moxing}"
        if not given and self.scheme == "obs":
            raise BookError(
                f"{self}: expected the endpoint of its region in AWS_ENDPOINT_URL, found nothing; "
                "set it to https://obs.<region>.myhuaweicloud.com, for example"
            )
        return given or None

    @property
    def host(self) -> str:
        """A name for the endpoint that a folder can have."""
        return re.sub(r"[^a-z0-9.-]", "_", urlsplit(self.endpoint).netloc.lower()) if self.endpoint else "amazonaws"

    def files(self, below: str = "") -> dict[str, Entry]:
        """All objects whose names begin with `below`, by name. Raises BookError for a name that no file can have."""
        folder, _, start = below.rpartition("/")
        with self._told():
            found = self._system.find(self._key(folder), prefix=start, detail=True)
            if not found:
                self._system.call_s3("list_objects_v2", Bucket=self.bucket, MaxKeys=1)  # there is such a bucket
        entries = {}
        for key, said in found.items():
            name = str(key).removeprefix(self._key("")).removeprefix("/")
            if said["type"] != "file" or not name or name.endswith("/"):
                continue  # some programs mark folders by empty objects
            plain = PurePosixPath(name)
            if str(plain) != name or plain.is_absolute() or ".." in plain.parts or "\0" in name:
                raise BookError(f"{self}: holds an object named {name!r}, which no file can be; remove or rename it")
            entries[name] = _entry(said)
        return entries

    def entry(self, name: str) -> Entry | None:
        """What the store says of one object; None where it has none of that name."""
        with self._told():
            try:
                said = self._system.info(self._key(name), refresh=True)
            except FileNotFoundError:
                return None
        return _entry(said) if said["type"] == "file" else None

    def read(self, name: str, start: int, end: int) -> bytes:
        """The bytes of an object from `start` to before `end`."""
        with self._told():
            return bytes(self._system.cat_file(self._key(name), start=start, end=end)) if end > start else b""

    def digest_is_md5(self, name: str) -> bool:
        """Whether the ETag of an object is its MD5; it is not where the store encrypts with keys of its own."""
        with self._told():
            head = self._system.call_s3("head_object", Bucket=self.bucket, Key=self._object(name))
        return not (str(head.get("ServerSideEncryption", "")).startswith("aws:kms") or "SSECustomerAlgorithm" in head)

    def write(self, name: str, path: Path) -> Entry:
        """Send a file, which becomes an object as a whole or not at all, and return what the store says of it."""
        with self._told():
            self._system.put_file(str(path), self._key(name))
            return _entry(self._system.info(self._key(name), refresh=True))

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        with self._told():
            self._system.call_s3("delete_object", Bucket=self.bucket, Key=self._object(name))

    def _object(self, name: str) -> str:
        return "/".join(filter(None, (self.prefix, name)))

    def _key(self, name: str) -> str:
        return "/".join(filter(None, (self.bucket, self.prefix, name)))

    @cached_property
    def _system(self) -> Any:
        import fsspec  # noqa: PLC0415 (half a second that runs without a store do not need)

        endpoint = self.endpoint
        host = (urlsplit(endpoint).hostname or "") if endpoint else ""
        # Other stores than Amazon's refuse the checksums that botocore adds since 2025.
        config: dict[str, Any] = {
            "connect_timeout": _SECONDS,
            "read_timeout": 3 * _SECONDS,
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }
        if self.scheme == "obs" and not _is_local(host):
            config["s3"] = {"addressing_style": "virtual"}  # https://bucket.obs.<region>…: the only form that all take
        region = re.match(r"obs\.([a-z0-9-]+)\.", host)
        client = {"region_name": region[1]} if region and not os.environ.get("AWS_DEFAULT_REGION") else {}
        with self._told():
            return fsspec.filesystem(
                "s3", endpoint_url=endpoint, client_kwargs=client, config_kwargs=config, use_listings_cache=False
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of all the libraries below as one that says which address it was, and what to do."""
        from aiohttp import ClientError  # noqa: PLC0415
        from botocore import exceptions  # noqa: PLC0415

        where = f"{self} ({self.endpoint or 'Amazon'})"
        others = (OSError, ValueError, exceptions.BotoCoreError, exceptions.ClientError, ClientError)
        keys = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN, if there is one)"
        try:
            yield
        except exceptions.NoCredentialsError as error:
            raise BookError(f"{where}: expected keys in the environment, found none; {keys}") from error
        except FileNotFoundError as error:
            remedy = "check the address, AWS_ENDPOINT_URL and the region"
            raise BookError(f"{where}: there is no such bucket or object ({error}); {remedy}") from error
        except PermissionError as error:
            raise BookError(f"{where}: the store refuses these keys ({error}); {keys}, for this bucket") from error
        except others as error:
            remedy = "check AWS_ENDPOINT_URL and the network"
            raise BookError(f"{where}: cannot be reached ({type(error).__name__}: {error}); {remedy}") from error


def _entry(said: dict[str, Any]) -> Entry:
    return Entry(int(said["size"]), str(said["ETag"]).strip('"'), said["LastModified"].timestamp())


def _is_local(host: str) -> bool:
    """Whether a host is a number or this machine, which no name of a bucket can be put before."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True
