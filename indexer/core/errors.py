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


class Interrupted(ImindexError):
    """Ctrl-C or SIGTERM. What was finished is kept; the message says how to resume."""
