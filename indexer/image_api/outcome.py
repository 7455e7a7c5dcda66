"""What an answer of an image API means: a picture, a refusal, a blocked picture, no picture, or an error.

The shape of the answers is the one that many services and servers share: `{"data": [{"b64_json": ..., "url": ...,
"revised_prompt": ...}]}`, or `{"error": {"code": ..., "type": ..., "message": ...}}`. Answers come from outside, so
nothing about them is taken for granted.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from imindex.indexer.core.json_text import parse_json
from imindex.indexer.core.secrets import without_secrets

PICTURE, REFUSED, BLOCKED, NO_PICTURE, ERROR = "picture", "refused", "blocked", "no picture", "error"
OUTCOMES = (PICTURE, REFUSED, BLOCKED, NO_PICTURE, ERROR)
"""`picture`: a picture that can be decoded. `refused`: the service does not make a picture of this prompt. `blocked`: a
filter withheld the picture, or replaced it by one of a single colour. `no picture`: a success without a picture that
can be decoded. `error`: anything else."""
WITHHELD = (REFUSED, BLOCKED)
"""Outcomes by which the service withholds a picture of a prompt."""

REFUSAL_CODES = frozenset(
    {
        "content_policy_violation", "content_policy", "content_filter", "contentfilter", "policy_violation",
        "prompt_blocked", "prompt_filtered", "prompt_rejected", "responsibleaipolicyviolation", "safety_violation",
        "unsafe_prompt",
    }
)  # fmt: skip
"""Codes by which services refuse a prompt, in lower case."""
BLOCK_CODES = frozenset(
    {
        "moderation_blocked", "image_blocked", "image_filtered", "output_blocked", "output_filtered",
        "generated_content_blocked", "unsafe_image",
    }
)  # fmt: skip
"""Codes by which services withhold a picture. `moderation_blocked` does not say whether the prompt or the picture was
judged, unless the answer names a stage."""
_NO_MONEY = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "quota_exceeded"}
)
_PASSING = frozenset({408, 409, 425, 429})
_HOPELESS = frozenset({401, 402, 403, 404, 405})
_LONGEST = 500
"""Characters of a message of the service in the log."""
_LONGEST_PROMPT = 20_000


@dataclass(frozen=True)
class Reading:
    """What an answer means.

    Attributes
    ----------
    outcome : str
        One of `OUTCOMES`.
    code, message : str
        Of the service, or of imindex where there was no answer.
    revised_prompt : str
        The prompt that the service says it used instead.
    model : str
        The model that the service says it used.
    data : bytes
        The bytes of the picture, not yet decoded.
    url : str
        Where the picture is to be downloaded instead.
    again : bool
        Whether a further attempt may succeed.
    stops : bool
        Whether every further request would fail likewise: the key, the address or the account is wrong.
    """

    outcome: str
    code: str = ""
    message: str = ""
    revised_prompt: str = ""
    model: str = ""
    data: bytes = b""
    url: str = ""
    again: bool = False
    stops: bool = False


def read_answer(status: int, body: bytes, *, refusal_codes: Collection[str] = ()) -> Reading:
    """Read an answer of an API.

    Parameters
    ----------
    status : int
        Of HTTP.
    body : bytes
    refusal_codes : collection of str
        Further codes by which this API refuses a prompt.

    Returns
    -------
    Reading

    Examples
    --------
    >>> read_answer(400, b'{"error": {"code": "content_policy_violation", "message": "No."}}').outcome
    'refused'
    >>> read_answer(200, b'{"data": [{"b64_json": "AAAA"}]}').data
    b'\\x00\\x00\\x00'
    >>> read_answer(503, b"<html>").again
    True
    """
    try:
        content = parse_json(body)
    except (ValueError, RecursionError):
        content = None
    own = {code.casefold() for code in refusal_codes}
    return _success(content, own) if 200 <= status < 300 else _failure(status, content, own)


def _success(content: Any, own: Collection[str]) -> Reading:
    if not isinstance(content, Mapping):
        return Reading(NO_PICTURE, message="the answer is not JSON")
    if isinstance(content.get("error"), Mapping) and not content.get("data"):
        reading = _failure(200, content, own)
        return reading if reading.outcome in WITHHELD else Reading(NO_PICTURE, reading.code, reading.message)
    model = _text(content.get("model"))
    data = content.get("data")
    first = data[0] if isinstance(data, list) and data else None
    if not isinstance(first, Mapping):
        return Reading(NO_PICTURE, message="the answer lists no picture", model=model)
    revised = _text(first.get("revised_prompt"), _LONGEST_PROMPT)
    model = _text(first.get("model")) or model
    encoded, url = first.get("b64_json"), first.get("url")
    if isinstance(encoded, str) and encoded:
        try:
            picture = base64.b64decode(encoded.partition("base64,")[2] or encoded, validate=True)
        except (binascii.Error, ValueError):
            return Reading(NO_PICTURE, "", "b64_json is not base64", revised, model)
        return Reading(PICTURE, "", "", revised, model, data=picture)
    if isinstance(url, str) and url:
        return Reading(PICTURE, "", "", revised, model, url=url)
    why = _text(first.get("finish_reason"))
    if _is_filter(why) or _filtered(first.get("content_filter_results")):
        return Reading(BLOCKED, why, "", revised, model)
    return Reading(NO_PICTURE, why, "the answer has neither b64_json nor url", revised, model)


def _failure(status: int, content: Any, own: Collection[str]) -> Reading:
    error = content.get("error", content) if isinstance(content, Mapping) else None
    codes: list[str] = []
    message = ""
    stage = ""
    if isinstance(error, Mapping):
        codes = [_text(error.get(key)) for key in ("code", "type")]
        inner = error.get("inner_error", error.get("innererror"))
        codes += [_text(inner.get("code"))] if isinstance(inner, Mapping) else []
        message = _text(error.get("message", error.get("detail")), _LONGEST)
        details = error.get("moderation_details")
        stage = _text(details.get("moderation_stage")) if isinstance(details, Mapping) else ""
    elif isinstance(error, str):
        message = _text(error, _LONGEST)
    codes = [code for code in codes if code]
    code = codes[0] if codes else ""
    known = {code.casefold() for code in codes}
    if status < 500:
        if known & BLOCK_CODES:
            return Reading(REFUSED if stage.casefold() == "input" else BLOCKED, code, message)
        if known & REFUSAL_CODES or known & set(own):
            return Reading(REFUSED, code, message)
    if known & _NO_MONEY:
        return Reading(ERROR, code, message, stops=True)
    if status in _HOPELESS or 300 <= status < 400:
        return Reading(ERROR, code, message or f"HTTP {status}", stops=True)
    return Reading(
        ERROR, code, message or f"HTTP {status}", again=status in _PASSING or status >= 500 or status < 200
    )


def _is_filter(word: str) -> bool:
    return any(part in word.casefold() for part in ("filter", "safety", "moderation", "blocked"))


def _filtered(results: Any) -> bool:
    """Return whether a list of filters, by category, says that one of them applied."""
    return isinstance(results, Mapping) and any(
        isinstance(result, Mapping) and result.get("filtered") is True for result in results.values()
    )


def _text(value: Any, longest: int = 200) -> str:
    """Return a text of an answer on one line, without secrets and control characters; empty if it is none."""
    if not isinstance(value, str):
        return ""
    plain = "".join(c if c.isprintable() else " " for c in value.encode("utf-8", "replace").decode())
    return without_secrets(plain.strip())[:longest]
