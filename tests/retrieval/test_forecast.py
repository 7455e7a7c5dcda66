"""What `audit --dry-run` and `power` say of a design, and what a plan says of keys without effect."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from imindex.retrieval.audit.dry_run import reach
from imindex.retrieval.audit.layout import FoundRelease, Layout
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.plan_template import template
from imindex.retrieval.cli.power import _more, _why_no_spread
from imindex.retrieval.evidence.power_plan import Pilot, plan
from imindex.retrieval.results import GivenCounts, PowerPlan
from imindex.stats.power import Variances


@pytest.mark.parametrize(
    ("adjust", "n", "words"),
    [
        ("holm", 39, 'no finding is possible: use 119 placebo names, or adjust = "bh", which can find'),
        ("holm", 119, ""),
        ("bh", 9, "no finding is possible: use more placebo names."),
        ("bh", 39, "no fewer than 3 of 6 artists can be found"),
    ],
)
def test_a_dry_run_says_what_the_design_cannot_find(tmp_path: Path, adjust: str, n: int, words: str) -> None:
    text = template("plan.toml", [f"Artist {number}" for number in range(6)])
    (tmp_path / "plan.toml").write_text(
        text.replace('adjust = "holm"', f'adjust = "{adjust}"'), encoding="utf-8"
    )
    sentences = reach(read_plan(tmp_path / "plan.toml"), {"r": n})
    assert len(sentences) == bool(words) and all(words in one for one in sentences)


def test_a_plan_says_which_keys_have_no_effect_on_pictures_made_elsewhere() -> None:
    words = "have no effect on pictures made elsewhere"
    assert words not in template("plan.toml", ["Ada Example"])
    names = {"Ada Example": 5, "Bo Sample": 5}
    layout = Layout(works="works", artists=names, releases=(FoundRelease("r", "imitations/r", names, {}),))
    assert layout.used and words in template("plan.toml", list(names), layout=layout)


def planned(placebos: int) -> PowerPlan:
    given = GivenCounts(
        source="i.h5", artists=6, works=5, works_fewest=5, works_most=5, imitations=4, imitations_fewest=4,
        imitations_most=4, placebos=placebos,
    )  # fmt: skip
    pilot = Pilot(Variances(0.0, 0.1, 0.0, 0.1), 0.4, 6, given)
    return plan(pilot, n_resamples=99, imitations=[5], works=[5], placebos=[39], correction="bh", artists=6)


def test_power_says_why_the_spread_is_zero_and_what_is_left_to_make() -> None:
    assert "39 placebo names do not differ by more than their pictures do" in _why_no_spread(planned(39))
    assert "too few other names" in _why_no_spread(planned(3))
    result = planned(39)
    design = replace(result.designs[0], pictures=225)
    assert _more(design, result) == "about 45 more pictures to make (225 in all)"
    assert _more(design, replace(result, given=None)) == "225 pictures to make"
