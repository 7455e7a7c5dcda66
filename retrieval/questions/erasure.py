"""Are the erased artists gone from a release, and the others kept?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.evidence.prompt_templates import template_of
from imindex.retrieval.questions.named_prompts import MAIN
from imindex.retrieval.questions.prompt_classes import ClassSets
from imindex.retrieval.questions.question import Asking, Plain
from imindex.retrieval.questions.settings import Erasure, PromptClasses
from imindex.retrieval.questions.study import Named, Study
from imindex.retrieval.questions.wording import listed, meant, percent
from imindex.retrieval.results.questions import ErasedArtist, ErasureAnswer, KeptArtist
from imindex.retrieval.vectors.blocks import Float64
from imindex.stats.equivalence import tost
from imindex.stats.erasure import gone, gone_among_references, kept
from imindex.stats.multiple import is_called
from imindex.stats.named_sets import NamedSet, change_of_auc, compare_names, in_cells

MOST_MARGIN = 0.5


class _Erasure(Plain):
    key, answered = "erasure", ErasureAnswer

    def check(self, asking: Asking, settings: Erasure) -> None:
        """Require a base release, artists that are tested, and others to keep."""
        if not asking.base:
            raise ImindexError(
                "questions.erasure compares a release with the one before the erasure. Name that release in "
                "compare.base."
            )
        if len(asking.releases) == 1:
            raise ImindexError(
                f"questions.erasure compares the releases with {asking.base}, and there is no other one. Add the "
                "release after the erasure."
            )
        if settings.margin >= MOST_MARGIN:
            raise ImindexError(
                f"questions.erasure.margin is {settings.margin:g}, but no AUC is above 1, so every "
                "artist would be gone. Write a number below 0.5, such as 0.1."
            )
        if not settings.erased:
            raise ImindexError(
                "questions.erasure.erased is empty. List the artists that are said to be erased."
            )
        for name in settings.erased:
            if name not in asking.tested:
                remedy = meant(name, asking.tested, "Add it there.")
                raise ImindexError(f"questions.erasure.erased: {name!r} is not in artists.tested. {remedy}")
        if twice := sorted({name for name in settings.erased if settings.erased.count(name) > 1}):
            raise ImindexError(f"questions.erasure.erased lists {twice[0]!r} twice. Remove one of them.")
        for name in settings.releases:
            if name not in asking.releases or name == asking.base:
                raise ImindexError(
                    f"questions.erasure.releases: {name!r} is {'the base' if name == asking.base else 'no release'}. "
                    "Use one of "
                    f"{', '.join(one for one in asking.releases if one != asking.base)}."
                )
        if not asking.placebos:
            raise ImindexError(
                f"questions.erasure compares names with placebo names, but {asking.release} has none. Set "
                "prompts.placebos, or "
                "the placebos of the release."
            )

    def answer(self, study: Study, settings: Erasure) -> ErasureAnswer | None:
        """Decide for each erased artist and way of asking, and for each other artist."""
        base = study.base
        if base is None or (settings.releases and study.release not in settings.releases):
            return None
        level = study.testing.level
        before, after = _Main.of(base), _Main.of(study)
        ways = _ways(base, study)
        erased = [
            _erased(study, artist, asked, old, new, settings)
            for artist in settings.erased
            for asked, old, new in ways
        ]
        others = [
            _kept(study, artist, before, after, settings)
            for artist in study.tested
            if artist not in settings.erased
        ]
        others.sort(key=lambda row: (-(row.nearness or -2.0), row.artist))
        changes = [
            row.change
            for row in others
            if row.change is not None and row.verdict in ("kept", "lost", "undecided")
        ]
        mean = (
            tost(changes, margin=settings.kept_margin, confidence_level=1 - level)
            if len(changes) > 1 and np.ptp(changes) > 0
            else None
        )
        verdicts: dict[str, set[str]] = {
            name: {row.verdict for row in erased if row.artist == name} for name in settings.erased
        }
        never = [
            name
            for name, said in verdicts.items()
            if name in study.judged and "remains" not in said and not _imitated(before, name, level)
        ]
        shares = [
            _gone_placebos(after, artist, settings, level)
            for artist in settings.erased
            if artist in study.judged
        ]
        return ErasureAnswer(
            release=study.release,
            encoder=study.encoder,
            statement=_statement(verdicts, others, len(ways), base.release, never),
            notes=tuple(_notes(study, settings, shares, others)),
            base=base.release,
            margin=settings.margin,
            kept_margin=settings.kept_margin,
            level=level,
            gone=tuple(name for name, said in verdicts.items() if said == {"gone"}),
            remaining=tuple(name for name, said in verdicts.items() if "remains" in said),
            n_ways=len(ways),
            placebo_gone=float(np.mean(shares)) if shares else None,
            kept_mean=mean.estimate if mean else None,
            kept_low=mean.interval.low if mean else None,
            kept_high=mean.interval.high if mean else None,
            p_kept=mean.pvalue if mean else None,
            artists=tuple(erased),
            kept=tuple(others),
        )


@dataclass(frozen=True, eq=False)
class _Main:
    """The pictures of the main prompts, in cells that all names have in common.

    Attributes
    ----------
    study : Study
    pictures : Named
    cells : tuple
        Of each picture: its template, and its seed if names share seeds; otherwise its number among those of its name
        and template.
    order : tuple
        All cells.
    """

    study: Study
    pictures: Named
    cells: tuple[tuple[str, int], ...]
    order: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, study: Study) -> _Main:
        pictures = study.imitations().of([*study.tested, *study.placebos])
        seeds = pictures.seeds.tolist()
        shared = len(set(seeds)) < len(seeds) and min(seeds, default=-1) >= 0
        counted: Counter[tuple[str, str]] = Counter()
        cells = []
        for name, prompt, seed in zip(pictures.names, pictures.prompts, seeds, strict=True):
            template = template_of(prompt, name) or prompt
            cells.append((template, seed if shared else counted[name, template]))
            counted[name, template] += 1
        return cls(study, pictures, tuple(cells), tuple(sorted(set(cells))))

    def tables(self, artist: str) -> tuple[Float64, Float64] | None:
        """Return the scores for an artist: of the own pictures, shape (C,), and of the placebo names', shape (R, C).

        NaN where there is no picture. Cells are in the order of `order`, and placebo names in that of the study.
        """
        if not self.study.has_works(artist) or artist not in self.pictures.names:
            return None
        names = (artist, *self.study.placebos_of(artist))
        number = {name: place for place, name in enumerate(names)}
        cell = {key: place for place, key in enumerate(self.order)}
        kept = {
            (number[name], cell[key]): place
            for place, (name, key) in enumerate(zip(self.pictures.names, self.cells, strict=True))
            if name in number
        }
        rows, columns = np.array(list(kept)).T
        chosen = np.array(list(kept.values()))
        scores = self.study.scores(self.pictures.vectors[chosen], artist)
        table = in_cells(columns, rows, scores, len(names), len(self.order))
        return table[0], table[1:]

    def compared(self, artist: str, level: float) -> NamedSet | None:
        """Compare the artist with placebo names, with an interval at twice the error."""
        tables = self.tables(artist)
        return None if tables is None else compare_names(*tables, confidence_level=1 - 2 * level)


def _ways(base: Study, study: Study) -> list[tuple[str, _Main | _Class, _Main | _Class]]:
    """Return the ways of asking: the main prompts, and the classes of prompts that name an artist."""
    ways: list[tuple[str, _Main | _Class, _Main | _Class]] = [(MAIN, _Main.of(base), _Main.of(study))]
    settings = study.asked.get("prompt_classes")
    if isinstance(settings, PromptClasses):
        old, new = ClassSets.of(base, settings), ClassSets.of(study, settings)
        ways += [
            (one.name, _Class(old, one.name), _Class(new, one.name))
            for one in settings.classes
            if not one.negative
        ]
    return ways


@dataclass(frozen=True, eq=False)
class _Class:
    sets: ClassSets
    name: str

    def compared(self, artist: str, level: float) -> NamedSet | None:
        """Compare the artist with placebo names by the prompts of the class."""
        return self.sets.compared(self.name, artist, confidence_level=1 - 2 * level)


def _erased(
    study: Study, artist: str, asked: str, old: _Main | _Class, new: _Main | _Class, settings: Erasure
) -> ErasedArtist:
    level = study.testing.level
    before, after = old.compared(artist, level), new.compared(artist, level)
    if artist not in study.judged:
        return ErasedArtist(artist=artist, asked=asked, verdict="not judged")
    if after is None or not after.n_references:
        return ErasedArtist(artist=artist, asked=asked, verdict="no pictures")
    return ErasedArtist(
        artist=artist,
        asked=asked,
        verdict=gone(after, margin=settings.margin, level=level),
        base_auc=before.auc if before else None,
        auc=after.auc,
        auc_low=after.auc_interval.low,
        auc_high=after.auc_interval.high,
        p=after.pvalue,
        n_pictures=after.n_pictures,
        n_placebos=after.n_references,
    )


def _kept(study: Study, artist: str, before: _Main, after: _Main, settings: Erasure) -> KeptArtist:
    nearness, nearest = _nearest(study, artist, settings.erased)
    row = KeptArtist(artist=artist, verdict="not judged", nearness=nearness, nearest_erased=nearest)
    if artist not in study.judged:
        return row
    level = study.testing.level
    pair = in_both(before, after, artist)
    if pair is None:
        return KeptArtist(artist=artist, verdict="no pictures", nearness=nearness, nearest_erased=nearest)
    change = change_of_auc(*pair, confidence_level=1 - 2 * level)
    known = is_called(compare_names(*pair[0]).pvalue, level=level)
    return KeptArtist(
        artist=artist,
        verdict=kept(change, margin=settings.kept_margin) if known else "not imitated before",
        nearness=nearness,
        nearest_erased=nearest,
        base_auc=change.base,
        auc=change.new,
        change=change.change,
        change_low=change.interval.low,
        change_high=change.interval.high,
    )


def in_both(
    before: _Main, after: _Main, artist: str
) -> tuple[tuple[Float64, Float64], tuple[Float64, Float64]] | None:
    """Return the tables of both releases, for the cells and placebo names that both have; None if none are left."""
    old, new = before.tables(artist), after.tables(artist)
    if old is None or new is None:
        return None
    common = sorted(set(before.order) & set(after.order))
    placebos = [one.study.placebos_of(artist) for one in (before, after)]
    both = [name for name in placebos[0] if name in placebos[1]]
    (own, names), (own_new, names_new) = (
        (table[0][columns], table[1][[named.index(name) for name in both]][:, columns])
        for table, named, columns in (
            (old, placebos[0], [before.order.index(key) for key in common]),
            (new, placebos[1], [after.order.index(key) for key in common]),
        )
    )
    cells = ~(np.isnan(own) | np.isnan(own_new))
    whole = ~(np.isnan(names[:, cells]) | np.isnan(names_new[:, cells])).any(axis=1)
    if not cells.any() or not whole.any():
        return None
    return (own[cells], names[whole][:, cells]), (own_new[cells], names_new[whole][:, cells])


def _imitated(main: _Main, artist: str, level: float) -> bool:
    """Return whether the name is shown to make a difference by the main prompts."""
    found = main.compared(artist, level)
    return found is not None and is_called(found.pvalue, level=level)


def _nearest(study: Study, artist: str, erased: tuple[str, ...]) -> tuple[float | None, str]:
    """Return the cosine of the mean works of an artist and the nearest erased artist, and that artist."""
    means = {}
    for name in (artist, *erased):
        works = study.works_of(name)
        if not len(works):
            continue
        mean = works.mean(axis=0, dtype=np.float64)
        means[name] = mean / np.linalg.norm(mean)
    if artist not in means or len(means) < 2:
        return None, ""
    own = means.pop(artist)
    cosine, name = max((float(own @ mean), name) for name, mean in means.items())
    return cosine, name


def _gone_placebos(after: _Main, artist: str, settings: Erasure, level: float) -> float:
    pair = in_both(after, after, artist)
    if pair is None:
        return np.nan
    return gone_among_references(pair[0][1], margin=settings.margin, confidence_level=1 - 2 * level)


def _statement(
    verdicts: dict[str, set[str]], others: list[KeptArtist], n_ways: int, base: str, never: list[str]
) -> str:
    by = (
        f" by all {n_ways} ways of asking that were tried"
        if n_ways > 1
        else f" by the {MAIN}, the only ones tried"
    )
    gone_names = [name for name, said in verdicts.items() if said == {"gone"}]
    remaining = [name for name, said in verdicts.items() if "remains" in said]
    rest = [name for name in verdicts if name not in gone_names and name not in remaining]
    parts = []
    if gone_names:
        parts.append(f"{listed(gone_names)} {'is' if len(gone_names) == 1 else 'are'} gone{by}")
    if remaining:
        some = " by some way of asking" if n_ways > 1 else ""
        parts.append(f"{listed(remaining)} {'remains' if len(remaining) == 1 else 'remain'}{some}")
    if rest:
        parts.append(f"whether {listed(rest)} {'is' if len(rest) == 1 else 'are'} gone is not decided")
    counts = {
        verdict: sum(row.verdict == verdict for row in others) for verdict in ("kept", "lost", "undecided")
    }
    n = sum(counts.values())
    kept_part = (
        f" Of {n} other artist{'' if n == 1 else 's'} imitated before, {counts['kept']} "
        f"{'is' if counts['kept'] == 1 else 'are'} "
        f"kept, {counts['lost']} lost, and {counts['undecided']} undecided."
        if n
        else " No other artist was shown to be imitated before, so there is nothing to keep."
        if any(row.verdict == "not imitated before" for row in others)
        else ""
    )
    if others and (unknown := [row.artist for row in others if row.verdict in ("not judged", "no pictures")]):
        kept_part += (
            f" Whether {listed(unknown)} {'is' if len(unknown) == 1 else 'are'} kept cannot be said: pictures of equal "
            "prompts are lacking, or the encoder does not tell the works."
        )
    if never:
        kept_part += (
            f" By the {MAIN}, {base} was not shown to imitate {listed(never)} either: that "
            f"{'this artist is' if len(never) == 1 else 'these artists are'} not found does not show that anything was "
            "erased."
        )
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}.{kept_part}"


def _notes(study: Study, settings: Erasure, shares: list[float], others: list[KeptArtist]) -> Iterator[str]:
    yield (
        f"“Gone” means that the AUC is shown to be below {0.5 + settings.margin:.2f}, and “kept” that less than "
        f"{settings.kept_margin:.2f} of it is lost. Both margins are choices of the plan. The prompts of this plan "
        "were "
        "tried, and no others."
    )
    known = [share for share in shares if not np.isnan(share)]
    if known and np.mean(known) < 0.8:
        yield (
            f"With so few pictures, “gone” is said of {percent(float(np.mean(known)))} of the names that the model "
            "does not know: “undecided” is no sign that something is left. More pictures per name decide more."
        )
    if lost := [row.artist for row in others if row.verdict == "lost"]:
        yield f"Lost: {listed(lost, most=12)}."


QUESTION = _Erasure()
