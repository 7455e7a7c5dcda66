"""What a plan already has: artists, works, imitations and placebo names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from imindex.retrieval.audit.inputs import gather
from imindex.retrieval.audit.plan import Plan, read_plan
from imindex.retrieval.evidence.power_plan import counts
from imindex.retrieval.results import GivenCounts


def given_of(path: Path, note: Callable[[str], None] = lambda _: None) -> tuple[Plan, GivenCounts]:
    """Read a plan, and count what it has. Of several releases, the one with the fewest placebo names counts.

    Parameters
    ----------
    path : Path
    note : callable
        Receives messages for the user.

    Raises
    ------
    ImindexError
        The plan is not valid, or its pictures are missing.
    """
    plan = read_plan(path, note)
    inputs = gather(plan, note)
    works = Counter(item.artist for item in inputs.works)
    release = min(plan.releases, key=lambda one: len(inputs.placebos[one.name]))
    made = Counter(item.artist for item in inputs.made.get(release.name, ()))
    names = [*plan.tested, *(f"\0{n}" for n in range(len(inputs.placebos[release.name])))]
    imitations = [
        (plan.prompts.per_artist or 0) if release.model else made.get(name, 0) for name in plan.tested
    ]
    rest = [0] * (len(names) - len(plan.tested))
    return plan, counts(
        str(path),
        np.array([*(works[name] for name in plan.tested), *rest], np.int64),
        np.array([*imitations, *rest], np.int64),
        range(len(plan.tested), len(names)),
    )
