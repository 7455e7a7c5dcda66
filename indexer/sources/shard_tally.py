"""What there is to tell about the shards of a build, counted over all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

_SHOWN = 3
_REASON = 100
_REMEDIES = {
    "sparse file": "Write them with tar without --sparse.",
    "hard link": "Write the tar with --hard-dereference.",
    "symbolic link": "Write the tar with --dereference.",
}


@dataclass
class ShardTally:
    """Counts over all shards of a build.

    Attributes
    ----------
    shards, pictures : int
    faults : list of (path, what)
        Shards that were not read to their end, or not at all.
    failed : Counter of str
        Pictures that the data set lists and lacks, by the reason that it gives.
    counts : Counter of str
        Everything else, by what it is.
    """

    shards: int = 0
    pictures: int = 0
    faults: list[tuple[str, str]] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    _first: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, example: str, n: int = 1) -> None:
        """Count something worth telling."""
        self.counts[what] += n
        self._first.setdefault(what, example)

    def fail(self, reason: str, n: int = 1) -> None:
        """Count pictures that the data set lacks."""
        reason = " ".join(reason.split())
        self.failed[reason if len(reason) <= _REASON else f"{reason[:_REASON]}..."] += n

    def notes(self) -> list[str]:
        """Return what a user is told, one line for each kind of thing."""
        lines = [f"Warning: {path} {what}." for path, what in self.faults[:_SHOWN]]
        if (more := len(self.faults) - _SHOWN) > 0:
            lines.append(f"Warning: {more:,} more shards were not read to their end.")
        if self.shards:
            shards = "1 shard" if self.shards == 1 else f"{self.shards:,} shards"
            pictures = "1 picture" if self.pictures == 1 else f"{self.pictures:,} pictures"
            lines.append(f"Found {pictures} in {shards}.")
        if n := self.failed.total():
            listed = ", ".join(f"{reason} ({count:,})" for reason, count in self.failed.most_common(_SHOWN))
            more = len(self.failed) - _SHOWN
            others = f" and {more:,} more reasons" if more > 0 else ""
            are = "1 picture was" if n == 1 else f"{n:,} pictures were"
            lines.append(f"By the lists beside the shards, {are} not downloaded: {listed}{others}.")
        for what, n in sorted(self.counts.items()):
            remedy = next((f" {text}" for kind, text in _REMEDIES.items() if kind in what), "")
            lines.append(f"{what}: {n:,}, such as {self._first[what]}.{remedy}")
        return lines
