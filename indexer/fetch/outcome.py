"""What became of a URL."""

from __future__ import annotations

from dataclasses import dataclass

FETCHED, REFUSED, FAILED = "fetched", "refused", "failed"


class Refusal(Exception):
    """A URL that is not fetched, now or later; the message says what refuses it."""

    def __init__(self, message: str, http_status: int = 0):
        super().__init__(message)
        self.http_status = http_status


class Transient(Exception):
    """A fault that may pass.

    Attributes
    ----------
    wait : float, optional
        Seconds that the host asks to wait.
    again : bool
        Whether this run tries again; otherwise only the next one does.
    """

    def __init__(self, message: str, http_status: int = 0, *, wait: float | None = None, again: bool = True):
        super().__init__(message)
        self.http_status, self.wait, self.again = http_status, wait, again


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a URL.

    Attributes
    ----------
    status : str
        fetched; refused (by the owner, by the host for good, or by a limit); failed (the next run tries again).
    reason : str
        What refused it, or how it failed.
    http_status : int
        Of the last response; 0 if there was none.
    sha256, suffix : str
        Of the stored bytes.
    size : int
    at : str
        When, in UTC.
    etag, last_modified, content_type : str
        As the host sent them.
    final_url : str
        Where redirects led, if there were any. Without secrets.
    robots : str
        What robots.txt says about the URL.
    """

    status: str
    reason: str = ""
    http_status: int = 0
    sha256: str = ""
    suffix: str = ""
    size: int = 0
    at: str = ""
    etag: str = ""
    last_modified: str = ""
    content_type: str = ""
    final_url: str = ""
    robots: str = ""
