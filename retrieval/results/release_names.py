"""What the manifest of a release says of its names and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from imindex.retrieval.results.base import Count, Result

NamesFrom = Literal["", "manifest", "passed"]


class ReleaseNames(Result, kw_only=True, frozen=True):
    """Which names of a release are placebo names and further real names, and how many of its pictures are blocked.

    Attributes
    ----------
    n_placebos : int
        Number of placebo names.
    placebo_source : str
        Why they are taken for such: "manifest" (the column `arm` of the index), "passed" by the caller, or empty if
        there are none.
    n_rivals : int
        Number of further real names.
    rival_source : str
        The same for these.
    n_nameless, n_control : int
        Number of control pictures from the templates without a name, and from prompts that name nobody.
    blocked : dict of str to int
        Number of pictures that a safety filter replaced, by the name in the prompt; the empty name for control pictures.
        They are left out of everything.
    notes : tuple of str
        How the names that were passed contradict the manifest, in sentences.
    """

    n_placebos: Count
    placebo_source: NamesFrom
    n_rivals: Count
    rival_source: NamesFrom
    n_nameless: Count
    n_control: Count
    blocked: Mapping[str, Count]
    notes: tuple[str, ...] = ()
