"""The exceptions whose messages a user is meant to read."""

from __future__ import annotations


class ImindexError(Exception):
    """Something the user can act on; the message names the thing, the cause and the remedy."""


class BadPicture(Exception):
    """A picture that cannot be used; the message is the reason that /rejects records."""
