"""A secret seed for placebo names: the bytes of a file, of which only a digest is published.

Whoever knows the seed of an audit knows its placebo names beforehand, and could train a model on them, so that the name
test finds nothing. With a secret seed, the names are known only once the pictures have been made.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.system.input_files import read_input

PREFIX = "from:"
FEWEST_BYTES = 16
_SCOPE = b"imindex placebo seed\0"


@dataclass(frozen=True)
class SecretSeed:
    """A secret seed.

    Attributes
    ----------
    key : bytes
        The seed of the names. It cannot be computed from `digest`.
    digest : str
        SHA-256 of the bytes of the file: what is recorded, and shown to be the same later.
    warnings : tuple of str
        What makes the secret weak.
    """

    key: bytes
    digest: str
    warnings: tuple[str, ...] = ()


def read_seed(text: str, folder: Path = Path()) -> SecretSeed:
    """Read a secret seed.

    Parameters
    ----------
    text : str
        ``from:FILE``.
    folder : Path
        What a relative path is relative to.

    Raises
    ------
    ImindexError
        If the text is not of this form, or the file does not exist, cannot be read or is empty.
    """
    if not text.startswith(PREFIX) or not text.removeprefix(PREFIX).strip():
        raise ImindexError(f"The placebo seed {text!r} names no file. Write from:FILE.")
    path = folder / text.removeprefix(PREFIX).strip()
    remedy = f"Make one with `head -c 32 /dev/urandom > {path}; chmod 600 {path}`."
    try:
        content = read_input(path)
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise ImindexError(f"The file of the placebo seed, {path}, does not exist. {remedy}") from None
    except OSError as error:
        raise ImindexError(
            f"The file of the placebo seed, {path}, cannot be read: {error.strerror}. Fix its permissions."
        ) from error
    if not content.strip():
        raise ImindexError(f"The file of the placebo seed, {path}, is empty. {remedy}")
    warnings = []
    if mode & 0o077:
        warnings.append(
            f"{path}, the secret seed of the placebo names, can be read by other users. Run `chmod 600 {path}`."
        )
    if len(content.strip()) < FEWEST_BYTES:
        warnings.append(
            f"{path}, the secret seed of the placebo names, has fewer than {FEWEST_BYTES} bytes: it can be guessed "
            f"from its digest. {remedy}"
        )
    # Not SHA-256 of the content alone: that is the digest, which is published.
    return SecretSeed(
        hashlib.sha256(_SCOPE + content).digest(), hashlib.sha256(content).hexdigest(), tuple(warnings)
    )
