"""What the manifest of a release says of its names and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from imindex.retrieval.results.base import Count, Result

NamesFrom = Literal["", "manifest", "passed"]
_WHY = {"manifest": "from the manifest", "passed": "as passed"}
_LISTED = 3


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
        Number of pictures that a safety filter replaced, by the name in the prompt; the empty name for control
        pictures. They are left out of everything.
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

    def sentences(self, placebos: Sequence[str] = (), *, notes: bool = True) -> list[str]:
        """Say which names were taken for placebo names and rivals and why, how that was contradicted, what is blocked.

        Parameters
        ----------
        placebos : sequence of str
            The placebo names, of which some are shown.
        notes : bool
            Include `notes`.
        """
        sentences = []
        parts = [
            f"{_count(n, noun)}{shown}, {_WHY[source]}"
            for n, noun, source, shown in (
                (self.n_placebos, "placebo name", self.placebo_source, _shown(placebos)),
                (self.n_rivals, "further real name", self.rival_source, ""),
            )
            if n
        ]
        controls = [
            f"{n:,} {what}" for n, what in ((self.n_nameless, "nameless"), (self.n_control, "generic")) if n
        ]
        if controls:
            n = self.n_nameless + self.n_control
            parts.append(f"{' and '.join(controls)} control {'picture' if n == 1 else 'pictures'}")
        if parts:
            sentences.append(f"{'; '.join(parts)}.")
        sentences += self.notes if notes else ()
        if self.blocked:
            most = sorted(self.blocked.items(), key=lambda pair: (-pair[1], pair[0]))
            listed = ", ".join(f"{n:,} of {name or 'the controls'}" for name, n in most[:_LISTED])
            more = f", and {sum(n for _, n in most[_LISTED:]):,} of others" if len(most) > _LISTED else ""
            n = sum(self.blocked.values())
            sentences.append(
                f"{_count(n, 'picture')} blocked by a safety filter {'is' if n == 1 else 'are'} left out: "
                f"{listed}{more}."
            )
        return sentences


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _shown(names: Sequence[str]) -> str:
    listed = ", ".join(names[:_LISTED])
    return f" ({listed}{', ...' if len(names) > _LISTED else ''})" if names else ""
