"""Whether the bytes that an API sent are a picture: they are decoded in another process, as any stranger's file."""

from __future__ import annotations

from dataclasses import dataclass

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.decode.limits import Limits
from imindex.indexer.decode.memory import budget
from imindex.indexer.decode.pool import shared
from imindex.indexer.fetch.signatures import HEAD, no_picture, suffix_of


@dataclass(frozen=True)
class Checked:
    """What the bytes are.

    Attributes
    ----------
    suffix : str
        By the first bytes, such as .png; empty if they are no picture.
    width, height : int
    one_colour : bool
        Whether all pixels are equal, which is what some filters send instead of a picture.
    problem : str
        Why it is no picture that can be used.
    """

    suffix: str = ""
    width: int = 0
    height: int = 0
    one_colour: bool = False
    problem: str = ""


def check_picture(data: bytes, limits: Limits = Limits()) -> Checked:  # noqa: B008 - frozen
    """Decode a picture in a process of its own, with limits of memory and time.

    Parameters
    ----------
    data : bytes
    limits : Limits

    Returns
    -------
    Checked
    """
    suffix = suffix_of(data[:HEAD])
    if not suffix:
        return Checked(problem=no_picture(data[:4096], ""))
    try:
        with budget(limits).file(len(data)):
            pixels = shared(limits)(data)
    except BadPicture as error:
        return Checked(suffix, problem=str(error))
    height, width = pixels.shape[:2]
    return Checked(suffix, width, height, bool((pixels == pixels[0, 0]).all()))
