"""Several artists in one prompt: is each of them in the pictures, how strongly, and are they recognised together?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from imindex.indexer.core.bounds import PER_NAME
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.prompts import Shot
from imindex.retrieval.questions.pairs import Pair, PairPrompts, pairs_of, templates_of
from imindex.retrieval.questions.question import Asking, Plain
from imindex.retrieval.questions.settings import Together
from imindex.retrieval.questions.study import Named, Study
from imindex.retrieval.questions.wording import listed, percent, reach
from imindex.retrieval.results.questions import NameInPair, PairPresence, SetsOfArtists, TogetherAnswer
from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.stats.intervals import Interval
from imindex.stats.keyed import generator
from imindex.stats.multiple import adjust, called, fewest_findable
from imindex.stats.named_sets import compare_names
from imindex.stats.references import references_needed
from imindex.stats.set_statistics import Scorer
from imindex.stats.together import (
    both_present,
    company_thresholds,
    in_sets,
    inclusion_thresholds,
    kept_share,
    ratio_over_groups,
    set_answers,
    shared_groups,
)


class _Together(Plain):
    key, answered = "together", TogetherAnswer
    own_pictures = True

    def check(self, asking: Asking, settings: Together) -> None:
        """Refuse pairs, templates and numbers that cannot be asked or answered."""
        templates = templates_of(settings)
        pairs_of(settings, asking.tested, asking.seed)
        if settings.per_pair % len(templates):
            raise ImindexError(
                f"questions.together.per_pair is {settings.per_pair}, which {len(templates)} templates do not divide. "
                f"Write {settings.per_pair - settings.per_pair % len(templates) + len(templates)}."
            )
        _check_sizes(settings)
        n_pairs = references_needed(settings.false_inclusion or 0.0)
        if settings.placebo_pairs < n_pairs:
            raise ImindexError(
                f"questions.together.false_inclusion is {settings.false_inclusion:g}, which {settings.placebo_pairs} "
                f"pairs of placebo names cannot calibrate. Write placebo_pairs = {n_pairs}, or a larger "
                "false_inclusion."
            )
        if not asking.generates:
            return
        needed = max(settings.placebos, 2 * settings.placebo_pairs)
        if len(asking.placebos) < needed:
            raise ImindexError(
                f"questions.together needs {needed} placebo names: {settings.placebos} in the place of each artist "
                f"(placebos), and two for each of {settings.placebo_pairs} pairs (placebo_pairs). {asking.release} has "
                f"{len(asking.placebos)}. Write placebos = {needed} in [prompts], or smaller numbers in "
                "[questions.together]."
            )
        self.shots(asking, settings)

    def shots(self, asking: Asking, settings: Together) -> Sequence[Shot]:
        """List the pictures of the pairs, of placebo names in the place of each name, and of pairs of placebo names."""
        prompts = PairPrompts.of(settings, asking.tested, asking.placebos, asking.seed)
        return prompts.shots(settings, asking.tested, asking.seed)

    def answer(self, study: Study, settings: Together) -> TogetherAnswer:
        """Test each name beside the other, and answer whom the pictures imitate."""
        testing = study.testing
        prompts = PairPrompts.of(settings, study.tested, study.placebos, testing.seed)
        table = _Table.of(study, settings, prompts)
        rows = [
            _name(study, table, prompts, place, own) for place in range(len(prompts.pairs)) for own in (0, 1)
        ]
        p = np.array([np.nan if row.p is None else row.p for row in rows])
        adjusted = adjust(p, method=settings.adjust)
        found = called(adjusted, level=testing.level)
        both = both_present(p.reshape(-1, 2))
        both_adjusted = adjust(both, method=settings.adjust)
        n_both = int(np.count_nonzero(called(both_adjusted, level=testing.level)))
        candidates = [name for name in study.tested if name in study.judged]
        sets, calibrated = _sets(table, prompts, candidates, settings, testing.confidence_level)
        singles = next((answers for size, answers, _ in sets if size == 1), None)
        pairs = []
        for place, (first, second) in enumerate(prompts.pairs):
            exact = None if singles is None else singles.exact_of.get(place)
            pairs.append(
                PairPresence(
                    first=first,
                    second=second,
                    p_both=float(both[place]),
                    p_both_adjusted=float(both_adjusted[place]),
                    exact=exact,
                )
            )
        rows = [
            replace(
                row,
                p_adjusted=None if np.isnan(value) else float(value),
                included=None if singles is None else singles.included.get((row.pair, row.artist)),
            )
            for row, value in zip(rows, adjusted, strict=True)
        ]
        share, ends = _kept_by_all(rows, prompts.pairs, testing.confidence_level, testing.seed)
        n_judged = int(np.count_nonzero(~np.isnan(p)))
        answers = tuple(result for _, _, result in sets)
        return TogetherAnswer(
            release=study.release,
            encoder=study.encoder,
            statement=_statement(study, settings, rows, found, n_judged, n_both, pairs, share, ends, answers),
            notes=tuple(_notes(study, settings, prompts, rows, candidates, calibrated, answers)),
            adjust=settings.adjust,
            level=testing.level,
            confidence_level=testing.confidence_level,
            statistic=settings.statistic,
            set_statistic=settings.set_statistic,
            n_found=int(np.count_nonzero(found)),
            n_judged=n_judged,
            n_both=n_both,
            kept=share,
            kept_low=ends.low,
            kept_high=ends.high,
            rate=settings.false_inclusion or 0.0,
            n_placebo_pairs=calibrated,
            n_candidates=len(candidates),
            sets=answers,
            pairs=tuple(pairs),
            artists=tuple(rows),
        )


def _check_sizes(settings: Together) -> None:
    if not settings.sizes or len(set(settings.sizes)) < len(settings.sizes):
        raise ImindexError(
            "questions.together.sizes is empty or lists a number twice. Write sizes = [1], or several numbers."
        )
    most = settings.per_pair * (2 if settings.both_orders else 1)
    for size in settings.sizes:
        PER_NAME.check(size, "questions.together.sizes")
        if size > most:
            raise ImindexError(
                f"questions.together.sizes: {size} pictures cannot be judged together, because a pair has {most}. "
                f"Write at most {most}, or a larger per_pair."
            )


# The pictures, by names and cells


@dataclass(frozen=True, eq=False)
class _Table:
    """The pictures of all prompts: ordered pairs of names x cells, a cell being a template and a seed.

    Attributes
    ----------
    scorer : Scorer
    scores : ndarray, shape (N, K)
        Of each picture for each artist with works.
    row : dict from (str, str) to int
        Row of `place` of each ordered pair of names.
    place : ndarray, shape (pairs, cells), int64
        The picture of each cell; -1 if there is none.
    columns : dict from str to int
        Column of `scores` of each tested artist with works.
    alone : _Alone
    """

    scorer: Scorer
    scores: Float64
    set_scores: Float64
    columns: dict[str, int]
    row: dict[Pair, int]
    place: Int64
    alone: _Alone

    @classmethod
    def of(cls, study: Study, settings: Together, prompts: PairPrompts) -> _Table:
        """Arrange the pictures of the question.

        Raises
        ------
        ImindexError
            There are works of a single artist.
        """
        scorer = study.shared.scorer(settings.statistic)
        set_scorer = study.shared.scorer(settings.set_statistic)
        if scorer is None or set_scorer is None:
            raise ImindexError(
                "There are works of a single artist, so no score can be learned. Add works of other artists as "
                "background."
            )
        pictures = study.imitations("together")
        known = [number for number, prompt in enumerate(pictures.prompts) if prompt in prompts.by_prompt]
        pictures = pictures.at(np.array(known, np.int64))
        columns = {number: at for at, number in enumerate(scorer.artists.tolist())}
        row = {pair: number for number, pair in enumerate(prompts.names)}
        cells = _cells(pictures, [prompts.by_prompt[prompt][0] for prompt in pictures.prompts])
        place = np.full((len(row), max(cells, default=-1) + 1), -1, np.int64)
        for number, (prompt, cell) in enumerate(zip(pictures.prompts, cells, strict=True)):
            at = row[prompts.by_prompt[prompt][1]], cell
            if place[at] < 0:  # a repeated picture counts once
                place[at] = number
        return cls(
            scorer,
            _scored(scorer, pictures),
            _scored(set_scorer, pictures),
            {name: columns[number] for name in study.tested if (number := study.number(name)) in columns},
            row,
            place,
            _Alone.of(study, scorer, prompts),
        )

    def columns_of(self, artists: Sequence[str]) -> Int64:
        """Return the columns of artists with works."""
        return np.array([self.columns[artist] for artist in artists], np.int64)

    def of_names(self, names: Pair, column: int) -> Float64:
        """Return the scores of the pictures of an ordered pair for an artist, by cell; NaN where there is none."""
        if names not in self.row:
            return np.full(self.place.shape[1], np.nan)
        place = self.place[self.row[names]]
        values = np.full(len(place), np.nan)
        values[place >= 0] = self.scores[place[place >= 0], column]
        return values

    def pictures_of(self, pairs: Sequence[Pair]) -> tuple[Int64, Int64]:
        """Return the pictures of unordered pairs, in the order of cells, and the number of the pair of each."""
        rows: list[int] = []
        numbers: list[int] = []
        for number, pair in enumerate(pairs):
            orders = [self.place[self.row[names]] for names in (pair, pair[::-1]) if names in self.row]
            own = [int(at) for cell in zip(*orders, strict=True) for at in cell if at >= 0]
            rows += own
            numbers += [number] * len(own)
        return np.array(rows, np.int64), np.array(numbers, np.int64)


@dataclass(frozen=True, eq=False)
class _Alone:
    """The pictures of the audit's own prompts, which name one artist: of the tested artists and the placebo names."""

    scores: Float64
    row: dict[str, int]
    place: Int64

    @classmethod
    def of(cls, study: Study, scorer: Scorer, prompts: PairPrompts) -> _Alone:
        names = (*dict.fromkeys(name for pair in prompts.pairs for name in pair), *prompts.placebos)
        pictures = study.imitations().of(names)
        templates = [
            prompt.replace(name, "{artist}")
            for prompt, name in zip(pictures.prompts, pictures.names, strict=True)
        ]
        row = {name: number for number, name in enumerate(names)}
        # Seeds differ between names, unless the plan sets equal seeds: cells are counted within name and template.
        cells = _counted(list(zip(pictures.names, templates, strict=True)), templates)
        place = np.full((len(row), max(cells, default=-1) + 1), -1, np.int64)
        for number, (name, cell) in enumerate(zip(pictures.names, cells, strict=True)):
            place[row[name], cell] = number
        return cls(_scored(scorer, pictures), row, place)

    def of_name(self, name: str, column: int) -> Float64:
        """Return the scores of the pictures of a name for an artist, by cell; NaN where there is none."""
        place = self.place[self.row[name]]
        values = np.full(len(place), np.nan)
        values[place >= 0] = self.scores[place[place >= 0], column]
        return values


def _scored(scorer: Scorer, pictures: Named) -> Float64:
    if not len(pictures.vectors):
        return np.empty((0, len(scorer.artists)))
    return scorer.score(pictures.vectors)


def _cells(pictures: Named, templates: Sequence[str]) -> list[int]:
    """Return the cell of each picture: its template and seed or, without seeds, its number within its prompt."""
    if (pictures.seeds < 0).any():
        return _counted(pictures.prompts, templates)
    cells: dict[tuple[str, int], int] = {}
    seeds = pictures.seeds.tolist()
    for template, seed in sorted(set(zip(templates, seeds, strict=True))):
        cells[template, seed] = len(cells)
    return [cells[key] for key in zip(templates, seeds, strict=True)]


def _counted(groups: Sequence[object], templates: Sequence[str]) -> list[int]:
    """Return a number for each (template, place within the group), equal in all groups of the template."""
    seen: dict[object, int] = {}
    keys = []
    for group, template in zip(groups, templates, strict=True):
        keys.append((template, seen.get(group, 0)))
        seen[group] = seen.get(group, 0) + 1
    cells = {key: number for number, key in enumerate(sorted(set(keys)))}
    return [cells[key] for key in keys]


# One name beside another


def _name(study: Study, table: _Table, prompts: PairPrompts, place: int, own: int) -> NameInPair:
    pair = prompts.pairs[place]
    artist, other = pair[own], pair[1 - own]
    judged = artist in study.judged
    column = table.columns.get(artist, -1)
    if column < 0:
        return NameInPair(pair=place, artist=artist, other=other, judged=False, n_pictures=0, n_references=0)

    def beside(name: str) -> Float64:
        """Return the mean over both orders of the scores of a name beside the other, by cell."""
        names = (name, other) if own == 0 else (other, name)
        orders = [one for one in (names, names[::-1]) if one in table.row]
        values: Float64 = np.mean([table.of_names(one, column) for one in orders], axis=0)
        return values

    company = beside(artist), np.array([beside(name) for name in prompts.placebos])
    alone = (
        table.alone.of_name(artist, column),
        np.array([table.alone.of_name(name, column) for name in prompts.placebos]),
    )
    level = study.testing.confidence_level
    tested = compare_names(*company, confidence_level=level)
    single = compare_names(*alone, confidence_level=level)
    works = table.scorer.score(study.works_of(artist))[:, column]
    kept = kept_share(*_whole(alone, company), confidence_level=level)
    orders = sum(names in table.row for names in ((artist, other), (other, artist)))
    return NameInPair(
        pair=place,
        artist=artist,
        other=other,
        judged=judged,
        works=float(works.mean()) - single.reference if len(works) else None,
        alone=single.difference,
        alone_low=single.interval.low,
        alone_high=single.interval.high,
        company=tested.difference,
        company_low=tested.interval.low,
        company_high=tested.interval.high,
        kept=kept.share,
        kept_low=kept.interval.low,
        kept_high=kept.interval.high,
        p=tested.pvalue if judged else None,
        n_pictures=orders * tested.n_pictures,
        n_references=tested.n_references,
    )


Scores = tuple[Float64, Float64]


def _whole(alone: Scores, company: Scores) -> tuple[Scores, Scores]:
    """Return the cells that the own name has, and the placebo names with pictures of all of them in both."""
    both = [(own[~np.isnan(own)], others[:, ~np.isnan(own)]) for own, others in (alone, company)]
    whole = ~np.isnan(both[0][1]).any(axis=1) & ~np.isnan(both[1][1]).any(axis=1)
    first, second = ((own, others[whole]) for own, others in both)
    return first, second


def _kept_by_all(
    rows: Sequence[NameInPair], pairs: Sequence[Pair], confidence_level: float, seed: int
) -> tuple[float, Interval]:
    """Return the share of all judged artists' own part that remains, with its interval over pairs."""
    group = _groups(pairs)
    used = [
        (row.company / row.works, row.alone / row.works, group[row.pair])
        for row in rows
        if row.judged
        and row.company is not None
        and row.alone is not None
        and row.works is not None
        and row.works > 0
    ]
    if not used:
        return np.nan, Interval(np.nan, np.nan)
    company, alone, groups = (np.array(values) for values in zip(*used, strict=True))
    return ratio_over_groups(
        company, alone, groups, confidence_level=confidence_level, rng=generator(seed, "together", "kept")
    )


def _groups(pairs: Sequence[Pair]) -> Int64:
    names = sorted({name for pair in pairs for name in pair})
    return shared_groups(np.array([[name in pair for name in names] for pair in pairs]))


# Sets of artists


@dataclass(frozen=True, eq=False)
class _Singles:
    """By pair: the share of pictures that are exactly right, and that include each artist of the pair."""

    exact_of: dict[int, float]
    included: dict[tuple[int, str], float]


def _sets(
    table: _Table,
    prompts: PairPrompts,
    candidates: Sequence[str],
    settings: Together,
    confidence_level: float,
) -> tuple[list[tuple[int, _Singles, SetsOfArtists]], int]:
    """Return the answers by each number of pictures, and the number of pairs of placebo names."""
    placebo, placebo_pair = table.pictures_of(prompts.placebo_pairs)
    n_calibrating = len(np.unique(placebo_pair))
    columns = table.columns_of(candidates)
    usable = [place for place, pair in enumerate(prompts.pairs) if set(pair) <= set(candidates)]
    rows, numbers = table.pictures_of([prompts.pairs[place] for place in usable])
    if not len(rows) or not len(placebo):
        return [], n_calibrating
    beside, beside_pair, beside_artist = _with_one_artist(table, prompts, candidates)
    rate = settings.false_inclusion or 0.0
    pair_of = {
        candidate: place
        for place, pair in enumerate(prompts.pairs)
        for candidate in _places(pair, candidates)
    }
    results = []
    for size in sorted(settings.sizes):
        calibrating, groups = in_sets(table.set_scores[placebo][:, columns], placebo_pair, size)
        by_placebos = inclusion_thresholds(calibrating, groups, rate=rate)
        scores, number = in_sets(table.set_scores[rows][:, columns], numbers, size)
        company, key = in_sets(table.set_scores[beside][:, columns], beside_pair, size)
        artist = beside_artist[key]
        if not len(number) or np.isinf(by_placebos).any():
            continue
        # The thresholds for a pair come from pictures of artists of other pairs.
        thresholds = np.array(
            [
                np.maximum(
                    by_placebos,
                    company_thresholds(company, artist, rate=rate, without=_places(pair, candidates)),
                )
                for pair in prompts.pairs
            ]
        )
        present, again = np.unique(number, return_inverse=True)
        places = np.array(usable)[present]
        named = np.array([[name in prompts.pairs[place] for name in candidates] for place in places])
        found = set_answers(
            scores > thresholds[places[again]], again, named, confidence_level=confidence_level
        )
        of_pair = np.array([pair_of.get(one, -1) for one in artist.tolist()], np.int64)
        known = of_pair >= 0
        others = np.arange(len(candidates)) != artist[known][:, None]
        false = (company[known] > thresholds[of_pair[known]])[others]
        singles = _Singles(
            {int(place): float(found.exact_of[k]) for k, place in enumerate(places)},
            {
                (int(place), candidates[a]): float(found.included[k, a])
                for k, place in enumerate(places)
                for a in np.flatnonzero(named[k]).tolist()
            },
        )
        results.append(
            (
                size,
                singles,
                SetsOfArtists(
                    size=size,
                    recall=found.recall,
                    recall_low=found.recall_interval.low,
                    recall_high=found.recall_interval.high,
                    recall_chance=found.recall_chance,
                    false_inclusion=found.false_inclusion,
                    false_low=found.false_interval.low,
                    false_high=found.false_interval.high,
                    false_beside_placebos=float(false.mean()) if len(false) else None,
                    exact=found.exact,
                    exact_low=found.exact_interval.low,
                    exact_high=found.exact_interval.high,
                    exact_chance=found.exact_chance,
                    n_sets=found.n_sets,
                ),
            )
        )
    return results, n_calibrating


def _places(names: Sequence[str], candidates: Sequence[str]) -> list[int]:
    return [place for place, name in enumerate(candidates) if name in names]


def _with_one_artist(
    table: _Table, prompts: PairPrompts, candidates: Sequence[str]
) -> tuple[Int64, Int64, Int64]:
    """Return the pictures of an artist and a placebo name, the number of their names, and the artist of each number.

    Artists who are not candidates are numbered from the number of candidates on.
    """
    tested = list(dict.fromkeys(name for pair in prompts.pairs for name in pair))
    order = [*candidates, *(name for name in tested if name not in candidates)]
    mixed = [pair for pair in prompts.names if (pair[0] in tested) != (pair[1] in tested)]
    unordered = list({frozenset(pair): pair for pair in mixed}.values())
    rows, numbers = table.pictures_of(unordered)
    artists = [order.index(pair[0] if pair[0] in tested else pair[1]) for pair in unordered]
    return rows, numbers, np.array(artists, np.int64)


def _statement(  # noqa: PLR0913
    study: Study,
    settings: Together,
    rows: Sequence[NameInPair],
    found: np.ndarray,
    n_judged: int,
    n_both: int,
    pairs: Sequence[PairPresence],
    share: float,
    ends: Interval,
    sets: Sequence[SetsOfArtists],
) -> str:
    if not any(row.n_pictures for row in rows):
        return (
            "This cannot be answered: there are no pictures of prompts with two names. List them in the manifest with "
            "the collection of this question, and with the prompts that the plan's templates give."
        )
    if not n_judged:
        return (
            "This cannot be answered: the encoder tells no artist’s works from those of others."
            if not any(row.judged for row in rows)
            else "This cannot be answered: no placebo name has the pictures that the artists have. List these pictures "
            "in the manifest."
        )
    n_found = int(np.count_nonzero(found))
    text = f"Beside another artist, {n_found} of {n_judged} names are shown to make a difference"
    names = [f"{row.artist} (beside {row.other})" for row, yes in zip(rows, found, strict=True) if yes]
    tests = [1 / (1 + row.n_references) for row in rows if row.p is not None]
    limit = "" if names else reach(tests, level=study.testing.level, method=settings.adjust)
    text += f": {listed(names)}." if names else f" ({limit})." if limit else "."
    n_pairs = sum(pair.p_both is not None and not np.isnan(pair.p_both) for pair in pairs)
    text += (
        f" In {n_both} of {n_pairs} pairs this is shown of both."
        if n_pairs
        else " In no pair can both be tested."
    )
    if not np.isnan(share) and np.isfinite([ends.low, ends.high]).all():
        text += (
            f" Of what the names add alone, {percent(share)} remains beside the other name "
            f"({percent(study.testing.confidence_level)} interval {percent(ends.low)} to {percent(ends.high)})."
        )
    for one in sets:
        if one.recall is not None and one.false_inclusion is not None and one.exact is not None:
            by = "By single pictures" if one.size == 1 else f"By {one.size} pictures together"
            text += (
                f" {by}, {percent(one.recall)} of the named artists are recognised, "
                f"{percent(one.false_inclusion, 1)} of the others are taken to be there, and "
                f"{percent(one.exact)} of the answers are exactly the two."
            )
    return text


def _notes(
    study: Study,
    settings: Together,
    prompts: PairPrompts,
    rows: Sequence[NameInPair],
    candidates: Sequence[str],
    calibrated: int,
    sets: Sequence[SetsOfArtists],
) -> list[str]:
    notes = []
    resolution = [1 / (1 + row.n_references) for row in rows if row.p is not None]
    fewest = fewest_findable(resolution, level=study.testing.level, method=settings.adjust)
    if resolution and fewest is None:
        needed = references_needed(study.testing.level, len(resolution))
        notes.append(
            f"With these placebo names no name can be found among {len(resolution)}, whatever the pictures: write "
            f'placebos = {needed}, or adjust = "bh".'
        )
    elif fewest is not None and fewest > max(1, len(resolution) // 4):
        notes.append(
            f"With {max(row.n_references for row in rows)} placebo names, no name is found unless {fewest} of "
            f"{len(resolution)} are."
        )
    unjudged = [row.artist for row in rows if not row.judged]
    if unjudged:
        notes.append(f"The encoder cannot judge {listed(list(dict.fromkeys(unjudged)))}.")
    if not sets and any(row.n_pictures for row in rows):
        reason = (
            f"{calibrated} pairs of placebo names have pictures, and a false inclusion of {settings.false_inclusion:g} "
            f"needs {references_needed(settings.false_inclusion or 0.0)}"
            if calibrated < references_needed(settings.false_inclusion or 0.0)
            else "no pair consists of two artists that the encoder can judge"
        )
        notes.append(f"There are no answers as sets of artists: {reason}.")
    worse = [
        one for one in sets if one.false_low is not None and one.false_low > (settings.false_inclusion or 0.0)
    ]
    for one in worse:
        notes.append(
            f"With {one.size} pictures a set, artists who are not named are included more often than the "
            f"{percent(settings.false_inclusion)} that placebo names calibrate: pictures of two artists differ in kind "
            "from those of placebo names. Read the recall beside the measured false inclusions."
        )
    if sets:
        notes.append(
            f"An answer chooses among {len(candidates)} artists. At the calibrated rate at most "
            f"{(len(candidates) - 2) * (settings.false_inclusion or 0.0):.1f} of those who are not named are in an "
            "answer on average."
        )
    return notes


QUESTION = _Together()
