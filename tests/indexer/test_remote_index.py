"""An index in an object store is read as a local one: the same results, few bytes, and never bytes of two versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imindex.indexer.core.url import Url
from imindex.indexer.store.index import Index
from tests.support import whole_index
from tests.support.objects import BUCKET, S3, FaultyProxy

RESULTS = ("match", "classify", "export")


@pytest.fixture(autouse=True)
def environment(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**s3.environment(), "IMINDEX_REMOTE_BACKOFF": "0.01", "IMINDEX_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def proxy(s3: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    with FaultyProxy(s3.port) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.endpoint)
        yield running


def url_of(s3: S3, path: Path, key: str) -> Url:
    s3.write(key, path.read_bytes())
    return Url(f"s3://{BUCKET}/{key}")


def backing_of(index: Index) -> Any:
    return index._backing


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of 20,000 rows and 64 dimensions: 2.6 MB of vectors, three blocks of metadata at most."""
    path = tmp_path_factory.mktemp("large") / "large.h5"
    whole_index.save(path, 20_000)
    return path
