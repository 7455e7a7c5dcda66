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


class Interrupted(ImindexError):
    """Ctrl-C or SIGTERM. What was finished is kept; the message says how to resume."""
