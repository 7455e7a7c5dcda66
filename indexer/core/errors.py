"""The exceptions whose messages are shown to the user."""

from __future__ import annotations

DEBUG = "IMINDEX_DEBUG"
"""Environment variable: 1 shows defects with their traceback, and `all`, which `imindex --debug` sets, every error."""


class ImindexError(Exception):
    """An error that the user can act on. The message names the thing, the cause and the remedy."""


class BadPicture(Exception):
    """A picture that cannot be used. The message is the reason recorded in /rejects."""


class BadVectors(ImindexError, ValueError):
    """Vectors that are not finite, or not of unit length. Whoever opened their index adds its name to the message."""


class NoEncoder(ImindexError):
    """The encoder of an index is not here, is another one, or is not trusted.

    Attributes
    ----------
    options : str
        Options of a command that would let it go on.
    """

    def __init__(self, message: str, options: str = ""):
        super().__init__(message)
        self.options = options


def was_interrupted(error: BaseException | None) -> bool:
    """Return whether an exception was raised in place of a KeyboardInterrupt, as an import that Ctrl-C ended does.

    Examples
    --------
    >>> try:
    ...     raise RuntimeError("cannot be imported") from KeyboardInterrupt()
    ... except RuntimeError as error:
    ...     was_interrupted(error), was_interrupted(RuntimeError())
    (True, False)
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


class Interrupted(ImindexError):
    """Ctrl-C or SIGTERM. What was finished is kept; the message says how to resume."""
