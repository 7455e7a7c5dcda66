"""The errors of remote reading. Their texts are made here, never taken from a library: those echo requests."""

from __future__ import annotations

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.secrets import without_secrets


class RemoteError(ImindexError):
    """An object that cannot be read or written. The text holds no credential.

    Attributes
    ----------
    url : str
        Its URL, without credentials.
    problem : str
        What is the matter with it, and the remedy.
    """

    def __init__(self, url: str, problem: str):
        self.url = without_secrets(url)
        self.problem = without_secrets(problem)
        super().__init__(f"{self.url} {self.problem}")


class Missing(RemoteError):
    """There is no such object."""


class Denied(RemoteError):
    """The store refuses the credentials, or there are none."""


class Changed(RemoteError):
    """The object is another one than before: its etag, size or date of modification differs."""


class TooLarge(RemoteError):
    """The object is larger than the caller reads."""


class Conflict(RemoteError):
    """A conditional put was refused: somebody else has written the object."""


class Trouble(Exception):
    """A failure that a further attempt may pass: caught by the retries, never shown as it is.

    Parameters
    ----------
    problem : str
        What happened, in words of imindex.
    wait : float
        Seconds that the server asks to wait.
    """

    def __init__(self, problem: str, wait: float = 0.0):
        self.problem, self.wait = problem, wait
        super().__init__(problem)
