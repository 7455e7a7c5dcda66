"""S3, Google Cloud Storage and Azure, through obstore."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from imindex.indexer.remote import multipart
from imindex.indexer.remote.address import Address
from imindex.indexer.remote.base import Backend, Body, Condition
from imindex.indexer.remote.errors import Changed, Conflict, Denied, Missing, RemoteError, Trouble
from imindex.indexer.remote.info import Info
from imindex.indexer.remote.retries import Policy

if TYPE_CHECKING:
    import obstore
    from obstore.store import ObjectStore

_CHUNK = 2**20
_MOST_AT_ONCE = 5 * 2**30 - 2**28
"""Bytes. Azure takes 5,000 MiB by one request; the whole is in memory."""
_TOKEN = "imindex-put"
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z]{1,40})</Code>")
_MD5 = re.compile(r"[0-9a-f]{32}")
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 507, 509})
_lock = threading.Lock()
_stores: dict[tuple[object, ...], ObjectStore] = {}
T = TypeVar("T")


class Buckets(Backend):
    """Objects in buckets and containers. Settings come from the environment, as the SDKs of the stores read them."""

    def head(self, address: Address) -> Info:
        import obstore

        return _info(address.url, _call(address, lambda: obstore.head(_store(address), address.key)))

    def request(self, address: Address, start: int, stop: int | None, expected: Info | None) -> Body:
        import obstore

        options: obstore.GetOptions = {}
        if stop is not None:
            options["range"] = (start, stop)
        elif start:
            options["range"] = {"offset": start}
        if expected is not None and expected.etag:
            options["if_match"] = expected.etag
        result = _call(address, lambda: obstore.get(_store(address), address.key, options=options))
        first, last = result.range
        info = _info(address.url, result.meta)
        if expected is not None and not info.is_same(expected):
            raise Changed(address.url, "was changed while it was read. Run this again.")
        if first != start or last != (info.size if stop is None else min(stop, info.size)):
            raise Trouble("the store answered with another range")
        return _BucketBody(address, info, result)

    def listing(self, address: Address) -> Iterator[Info]:
        import obstore

        prefix = address.key.strip("/")
        base = f"{address.scheme}://{address.place}/"
        pages = _call(address, lambda: iter(obstore.list(_store(address), prefix or None, chunk_size=1000)))
        while (page := _call(address, lambda: next(pages, None))) is not None:
            for meta in page:
                yield _info(base + meta["path"], meta)

    def put(self, address: Address, source: bytes | Path, condition: Condition, token: str) -> str:
        import obstore

        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        if isinstance(source, Path) and size > multipart.FROM_BYTES and address.scheme in ("s3", "s3a"):
            return multipart.put_in_parts(address, source, condition, {_TOKEN: token})
        if size > _MOST_AT_ONCE:
            raise RemoteError(
                address.url,
                f"cannot be written: {size:,} bytes are more than {_MOST_AT_ONCE:,}, which is what this store takes by "
                "one request on a condition. Split the index, or copy it with the store's own tool.",
            )
        mode: obstore.PutMode = "overwrite"
        if condition.if_absent:
            mode = "create"
        elif condition.if_etag:
            mode = {"e_tag": condition.if_etag}
        result = _call(
            address,
            lambda: obstore.put(
                _store(address),
                address.key,
                source,
                mode=mode,
                attributes={_TOKEN: token},
                use_multipart=False,
            ),
        )
        return result["e_tag"] or ""

    def md5_of(self, info: Info) -> str:
        """Return it for S3, where the etag of an object that was written at once is its MD5, except under KMS."""
        etag = info.etag.strip('"')
        return etag if info.url.startswith("s3") and _MD5.fullmatch(etag) else ""

    def token_of(self, address: Address) -> str:
        import obstore

        result = _call(address, lambda: obstore.get(_store(address), address.key, options={"head": True}))
        return str(result.attributes.get(_TOKEN, ""))


class _BucketBody(Body):
    def __init__(self, address: Address, info: Info, result: obstore.GetResult):
        self.info = info
        self._address, self._result = address, result

    def __iter__(self) -> Iterator[bytes]:
        stream = iter(self._result.stream(min_chunk_size=_CHUNK))
        while (chunk := _call(self._address, lambda: next(stream, None))) is not None:
            yield bytes(chunk)


def _info(url: str, meta: obstore.ObjectMeta) -> Info:
    return Info(url, meta["size"], int(meta["last_modified"].timestamp()) * 10**9, meta["e_tag"] or "")


def _store(address: Address) -> ObjectStore:
    """Return the store of a bucket, made once per bucket and credentials."""
    policy = Policy.from_environment()
    key = (address.scheme, address.place, address.user, address.password, address.query, policy, _settings())
    with _lock:
        if key not in _stores:
            if len(_stores) >= 64:
                _stores.clear()
            _stores[key] = _made(address, policy)
        return _stores[key]


def _settings() -> tuple[tuple[str, str], ...]:
    """Return the settings of the environment that a store depends on."""
    import os

    return tuple(
        sorted(
            (name, value)
            for name, value in os.environ.items()
            if name.startswith(("AWS_", "GOOGLE_", "AZURE_"))
        )
    )


def _made(address: Address, policy: Policy) -> ObjectStore:
    import os

    from obstore.store import AzureStore, GCSStore, S3Store

    wait = timedelta(seconds=policy.timeout)
    endpoint = next((os.environ[name] for name in _ENDPOINTS[address.scheme] if os.environ.get(name)), "")
    shared = {
        "client_options": {
            "connect_timeout": min(wait, timedelta(seconds=10)),
            "read_timeout": wait,
            "timeout": timedelta(seconds=max(600.0, policy.timeout)),
            "allow_http": _is_loopback(endpoint),
            "user_agent": "imindex",
        },
        "retry_config": {"max_retries": 0, "retry_timeout": wait},
    }
    if address.scheme in ("s3", "s3a"):
        given = {"access_key_id": address.user, "secret_access_key": address.password} if address.user else {}
        if not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
            given["region"] = "us-east-1"
        return S3Store(address.place, **given, **shared)  # type: ignore[arg-type]
    if address.scheme in ("gs", "gcs"):
        return GCSStore(address.place, **shared)  # type: ignore[arg-type]
    container, _, account = address.place.partition("@")
    given = {"account_name": account.partition(".")[0]} if account else {}
    if address.query:
        given["sas_token"] = address.query
    return AzureStore(container, **given, **shared)  # type: ignore[arg-type]


_ENDPOINTS = {
    **dict.fromkeys(("s3", "s3a"), ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")),
    **dict.fromkeys(("gs", "gcs"), ("GOOGLE_BASE_URL",)),
    **dict.fromkeys(("az", "abfs", "abfss"), ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")),
}


def _is_loopback(endpoint: str) -> bool:
    """Return whether an endpoint is on this machine, where requests need no TLS."""
    from urllib.parse import urlsplit

    return urlsplit(endpoint).hostname in ("localhost", "127.0.0.1", "::1")


def _call(address: Address, function: Callable[[], T]) -> T:
    """Call a function of obstore, and raise errors of imindex for its own, without their texts."""
    from obstore import exceptions

    failure: RemoteError | Trouble
    try:
        return function()
    except FileNotFoundError:
        failure = Missing(address.url, "does not exist. Check the URL.")
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        failure = _denied(address, str(error))
    except exceptions.AlreadyExistsError:
        failure = Conflict(
            address.url, "exists already. Another writer has made it: read it, or write elsewhere."
        )
    except (exceptions.PreconditionError, exceptions.NotModifiedError):
        failure = Changed(address.url, "was changed while it was read. Run this again.")
    except ValueError:
        failure = RemoteError(
            address.url,
            "has a key that cannot be requested: an empty part, . or .., or a control character. Rename it.",
        )
    except (exceptions.BaseError, OSError) as error:
        failure = _other(address, str(error))
    raise failure


def _denied(address: Address, text: str) -> RemoteError:
    code = _CODE.search(text)
    return Denied(
        address.url,
        f"cannot be read: the store refuses the credentials{f' ({code[1]})' if code else ''}. Set them in the "
        "environment, as its SDK reads them.",
    )


def _other(address: Address, text: str) -> RemoteError | Trouble:
    status, code = _STATUS.search(text), _CODE.search(text)
    number = int(status[1]) if status else 0
    words = f"HTTP {number}{f' {code[1]}' if code else ''}" if number else ""
    if number in (401, 403):
        return _denied(address, text)
    if number == 404:
        return Missing(address.url, "does not exist. Check the URL and the bucket.")
    if number == 412:
        return Changed(address.url, "was changed while it was read. Run this again.")
    if number in _PASSING or (not number and _is_passing(text)):
        return Trouble(words or _why(text))
    if not number and "certificate" in text.lower():
        return RemoteError(
            address.url, "cannot be read: the certificate of the store is not valid. Check the endpoint."
        )
    what = words or "the store cannot be set up; check its settings in the environment"
    return RemoteError(address.url, f"cannot be read: {what}. Check the URL and the bucket.")


def _is_passing(text: str) -> bool:
    lowered = text.lower()
    return "certificate" not in lowered and any(
        word in lowered
        for word in (
            "http error",
            "error sending request",
            "timed out",
            "timeout",
            "body",
            "connection",
            "decod",
            "end of file",
        )
    )


def _why(text: str) -> str:
    lowered = text.lower()
    if "timed out" in lowered or "timedout" in lowered or "timeout" in lowered.replace("retry_timeout", ""):
        return "no answer in time"
    if "connection refused" in lowered or (
        "connect" in lowered and "dns" not in lowered and "body" not in lowered
    ):
        return "no connection"
    if "dns" in lowered:
        return "its host is not known"
    return "the connection was cut"
