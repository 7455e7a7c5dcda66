"""What goes wrong, as an answer: a status, a sentence, and the limit that was met."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

from imindex.retrieval.results.base import Result, to_json


class ProblemBody(Result, omit_defaults=True, kw_only=True, frozen=True):
    """Why a request was not answered.

    Attributes
    ----------
    error : str
        A sentence that names the thing, the cause and the remedy.
    limit : str
        The limit that was met, such as ``max-upload``; absent if none was.
    value : float or None
        Value of the limit.
    option : str
        The option of `imindex serve` that changes the limit.
    rejects : dict of str to str
        Pictures that could not be read, with the reason.
    """

    error: str
    limit: str = ""
    value: float | None = None
    option: str = ""
    rejects: Mapping[str, str] = msgspec.field(default_factory=dict)


class Problem(Exception):
    """A request that cannot be answered.

    Parameters
    ----------
    status : int
        HTTP status.
    body : ProblemBody or str
    retry_after : int, optional
        Seconds after which the same request may succeed.
    """

    def __init__(self, status: int, body: ProblemBody | str, *, retry_after: int | None = None):
        self.status = status
        self.body = ProblemBody(error=body) if isinstance(body, str) else body
        self.retry_after = retry_after
        super().__init__(self.body.error)

    def response(self) -> Response:
        """Return the answer."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return Response(to_json(self.body), self.status, headers, "application/json")


def over_limit(
    status: int, error: str, limit: str, value: float, *, retry_after: int | None = None
) -> Problem:
    """Return the problem of a limit that an option of `imindex serve` sets."""
    body = ProblemBody(error=error, limit=limit, value=value, option=f"--{limit}")
    return Problem(status, body, retry_after=retry_after)
