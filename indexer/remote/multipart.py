"""Write a large object to S3 in parts, on a condition that the store checks when the parts are put together.

obstore writes on a condition only by a single request, from memory, which S3 limits to 5 GiB. The parts are sent by
botocore, which reads the file piece by piece. A reader sees the whole object or the one before, never parts.
"""

from __future__ import annotations

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from imindex.indexer.remote.address import Address
from imindex.indexer.remote.base import Condition
from imindex.indexer.remote.errors import Changed, Conflict, Denied, Missing, RemoteError, Trouble
from imindex.indexer.remote.retries import Policy
from imindex.indexer.system.input_files import open_descriptor

FROM_BYTES = 1 << 26
"""Larger files are written in parts."""
MOST_BYTES = 5 * 10**12
"""S3 takes no larger object."""
_LEAST_PART = 1 << 25
_MOST_PARTS = 9_000
_THREADS = 4
_CONDITION = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


def put_in_parts(address: Address, source: Path, condition: Condition, metadata: dict[str, str]) -> str:
    """Write a file as an object, and return its etag. Nothing is written if the condition does not hold.

    Raises
    ------
    Conflict, Changed
        If there is such an object, or it is another version than the one to replace.
    Trouble
        If another attempt may succeed.
    RemoteError
    """
    size = source.stat().st_size
    if size > MOST_BYTES:
        raise RemoteError(address.url, f"cannot be written: {size:,} bytes are more than the store takes.")
    client = _client(address)
    place = {"Bucket": address.place, "Key": address.key}
    upload = _call(address, lambda: client.create_multipart_upload(**place, Metadata=metadata))["UploadId"]
    place_of_upload = {**place, "UploadId": upload}
    descriptor = -1
    try:
        descriptor = open_descriptor(source)
        part_bytes = max(_LEAST_PART, -(-size // _MOST_PARTS))
        lock = threading.Lock()

        def send(number: int) -> dict[str, object]:
            start = number * part_bytes
            with lock:
                os.lseek(descriptor, start, os.SEEK_SET)
                data = _read(descriptor, min(part_bytes, size - start))
            part = _call(
                address, lambda: client.upload_part(**place_of_upload, PartNumber=number + 1, Body=data)
            )
            return {"PartNumber": number + 1, "ETag": part["ETag"]}

        with ThreadPoolExecutor(_THREADS, thread_name_prefix="upload") as pool:
            parts = list(pool.map(send, range(-(-size // part_bytes))))
        if (
            condition.if_absent or condition.if_etag
        ):  # a store that ignores conditions is at least asked before
            _require(address, client, place, condition)
        holds: dict[str, str] = {}
        if condition.if_absent:
            holds = {"IfNoneMatch": "*"}
        elif condition.if_etag:
            holds = {"IfMatch": condition.if_etag}
        done = _call(
            address,
            lambda: client.complete_multipart_upload(
                **place_of_upload, MultipartUpload={"Parts": parts}, **holds
            ),
            conditional=condition,
        )
        return str(done.get("ETag", ""))
    except BaseException:
        with contextlib.suppress(Exception):  # the parts cost money until they are deleted
            client.abort_multipart_upload(**place_of_upload)
        raise
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _require(address: Address, client: Any, place: dict[str, str], condition: Condition) -> None:
    try:
        etag = _call(address, lambda: client.head_object(**place))["ETag"]
    except Missing:
        etag = ""
    if condition.if_absent and etag:
        raise Conflict(address.url, "exists already. Another writer has made it.")
    if condition.if_etag and etag.strip('"') != condition.if_etag.strip('"'):
        raise Changed(address.url, "was changed while it was read. Run this again.")


def _read(descriptor: int, length: int) -> bytes:
    data = bytearray()
    while len(data) < length and (more := os.read(descriptor, length - len(data))):
        data += more
    return bytes(data)


def _client(address: Address) -> Any:
    try:
        import botocore.session  # type: ignore[import-untyped,unused-ignore]
        from botocore.config import Config  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        raise RemoteError(
            address.url,
            "cannot be written in parts without botocore. Install it: pip install 'imindex[remote]'.",
        ) from None

    policy = Policy.from_environment()
    given: dict[str, str] = {}
    if address.user:
        given = {"aws_access_key_id": address.user, "aws_secret_access_key": address.password}
    endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), None)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return botocore.session.get_session().create_client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        config=Config(
            connect_timeout=min(10.0, policy.timeout),
            read_timeout=policy.timeout,
            retries={"mode": "standard", "total_max_attempts": policy.attempts},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            user_agent="imindex",
            **({"s3": {"addressing_style": "path"}} if endpoint else {}),
        ),
        **given,
    )


_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


def _call(address: Address, function: Any, conditional: Condition | None = None) -> Any:
    """Call a function of botocore, and raise errors of imindex for its own, without their texts."""
    from botocore import exceptions  # type: ignore[import-untyped,unused-ignore]

    failure: RemoteError | Trouble
    try:
        return function()
    except exceptions.ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if conditional is not None and (code in _CONDITION or status in (409, 412)):
            what = "exists already. Another writer has made it: read it, or write elsewhere."
            failure = (
                Conflict(address.url, what)
                if conditional.if_absent
                else Changed(address.url, "was changed while it was read. Run this again.")
            )
        elif status in (401, 403):
            failure = Denied(
                address.url,
                "cannot be written: the store refuses the credentials. Set them in the environment, as its SDK reads "
                "them.",
            )
        elif status == 404:
            failure = Missing(address.url, "does not exist. Check the URL and the bucket.")
        elif status in _PASSING:
            failure = Trouble(f"HTTP {status}")
        else:
            failure = RemoteError(
                address.url, f"cannot be written: HTTP {status}. Check the URL and the bucket."
            )
    except exceptions.NoCredentialsError:
        failure = Denied(
            address.url, "cannot be written: there are no credentials. Set them in the environment."
        )
    except (exceptions.BotoCoreError, OSError):
        failure = Trouble("the connection was cut")
    raise failure
