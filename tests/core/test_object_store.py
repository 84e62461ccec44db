"""Addresses, and what a store says when it cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actionbook.core.errors import BookError
from actionbook.core.object_store import ObjectStore
from actionbook.core.parameters import folder
from actionbook.core.paths import default_work_root, is_address


@pytest.mark.parametrize(
    ("value", "found"),
    [("s3://b/x", True), ("obs://b", True), ("gs://b/x", True), ("/data/x", False), ("x:/y", False), (None, False)],
)
def test_what_is_an_address(value: Any, found: bool) -> None:
    assert is_address(value) is found


@pytest.mark.parametrize(
    ("value", "text"),
    [("s3://bucket/a/b/", "s3://bucket/a/b"), ("obs://bucket", "obs://bucket"), ("s3://b.c-d//x", "s3://b.c-d/x")],
)
def test_addresses_are_read(value: str, text: str) -> None:
    assert str(ObjectStore.of("data_root", value)) == text


@pytest.mark.parametrize(
    "value", ["gs://bucket/x", "s3://", "s3:///x", "s3://B_/x", "s3://bucket/../x", "s3://bucket/./x"]
)
def test_addresses_that_are_none(value: str) -> None:
    with pytest.raises(BookError, match=r"data_root '.*': expected a folder, or an address s3://bucket/folder"):
        ObjectStore.of("data_root", value)


def test_an_address_makes_no_folder_where_a_path_is_meant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(BookError, match="only the parameters data_root and work_root may be addresses"):
        folder("--root", "s3://bucket/x", tmp_path)
    monkeypatch.setenv("ACTIONBOOK_WORK", "obs://bucket/work")
    with pytest.raises(BookError, match="obs://bucket/work: expected a path"):
        default_work_root()


def test_where_obs_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "S3_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    store = ObjectStore.of("data_root", "obs://bucket/x")
    with pytest.raises(BookError, match="expected the endpoint of its region in AWS_ENDPOINT_URL, found nothing"):
        _ = store.endpoint
    assert ObjectStore.of("data_root", "s3://bucket/x").endpoint is None
    monkeypatch.setenv("S3_ENDPOINT", "obs.cn-north-4.myhuaweicloud.com")  # as moxing has it
    assert store.endpoint == "https://obs.cn-north-4.myhuaweicloud.com"
    assert store.host == "obs.cn-north-4.myhuaweicloud.com"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    assert (store.endpoint, store.host) == ("http://127.0.0.1:9000", "127.0.0.1_9000")


def test_obs_is_asked_by_the_name_of_its_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://obs.cn-north-4.myhuaweicloud.com")
    system = ObjectStore.of("data_root", "obs://bucket/x")._system
    assert system.config_kwargs["s3"] == {"addressing_style": "virtual"}
    assert system.client_kwargs == {"region_name": "cn-north-4"}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    assert "s3" not in ObjectStore.of("data_root", "obs://bucket/x")._system.config_kwargs


def test_a_bucket_that_does_not_exist(bucket: Any) -> None:
    with pytest.raises(BookError, match=r"s3://no-such/x \(http://127.*\): there is no such bucket or object"):
        ObjectStore.of("data_root", "s3://no-such/x").files()


def test_a_store_that_is_not_there(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(BookError, match=r"s3://bucket/x .*: cannot be reached .*; check AWS_ENDPOINT_URL"):
        ObjectStore.of("data_root", "s3://bucket/x").files()


def test_keys_that_are_not_there(bucket: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setattr("s3fs.S3FileSystem.cachable", False)  # else the connection of another test, with its keys
    with pytest.raises(BookError, match="expected keys in the environment, found none; set AWS_ACCESS_KEY_ID"):
        ObjectStore.of("data_root", f"s3://{bucket.name}/x").files()


@pytest.mark.parametrize("key", ["x/../../escaped", "x//double", "x/./dot"])
def test_objects_that_no_file_can_be(bucket: Any, key: str) -> None:
    bucket.put("x/good", b"1")
    bucket.put(key, b"2")
    with pytest.raises(BookError, match=r"holds an object named '.*', which no file can be"):
        ObjectStore.of("data_root", f"s3://{bucket.name}/x").files()


def test_markers_of_folders_are_no_files(bucket: Any) -> None:
    bucket.put("x/folder/", b"")
    bucket.put("x/", b"")
    bucket.put("x/folder/a", b"1")
    bucket.put("xy", b"another's")
    assert list(ObjectStore.of("data_root", f"s3://{bucket.name}/x").files()) == ["folder/a"]
