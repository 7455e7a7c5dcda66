"""Draw the trials of a panel, and the order and sides in which each rater sees them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from imindex.indexer.core.bounds import CATCH, PANEL_TRIALS, PANEL_WORKS, RATERS
from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.panel.pool import Candidate, Pool
from imindex.retrieval.results import PanelPicture, PanelSheet, PanelShown, PanelTrial, TrialKind
from imindex.stats.keyed import generator, generators

N_ARTISTS = 10
"""Number of artists of a panel by default."""
UNKNOWN_TEMPLATE = -1


@dataclass(frozen=True)
class Size:
    """Size of a panel.

    Attributes
    ----------
    per_artist : int
        Trials of each artist with an imitation.
    raters : int
        Number of pages.
    works : int
        Works of the artist that are shown with each trial.
    placebo_sets, set_size : int
        Placebo names that take an artist's place, and trials of each.
    catch : int
        Catch trials.
    repeats : int
        Trials that a page shows twice.
    """

    per_artist: int = 8
    raters: int = 12
    works: int = 4
    placebo_sets: int = 8
    set_size: int = 5
    catch: int = 10
    repeats: int = 8

    def __post_init__(self) -> None:
        bounds = {"raters": RATERS, "works": PANEL_WORKS, "catch": CATCH, "repeats": CATCH}
        for name in ("per_artist", "raters", "works", "placebo_sets", "set_size", "catch", "repeats"):
            bounds.get(name, PANEL_TRIALS).check(getattr(self, name), name)


@dataclass(frozen=True)
class Design:
    """Trials of a panel, before they are drawn.

    Attributes
    ----------
    artists : tuple of str
    size : Size
        As far as the pictures of the audit allow it.
    notes : tuple of str
    """

    artists: tuple[str, ...]
    size: Size
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Drawn:
    """Drawn trials, and the pictures that they show, by id."""

    trials: tuple[PanelTrial, ...]
    pictures: tuple[PanelPicture, ...]
    notes: tuple[str, ...]


def plan_design(
    pool: Pool, size: Size, *, artists: Sequence[str] = (), n_artists: int = N_ARTISTS, seed: int
) -> Design:
    """Choose the artists, and reduce the size to what the audit has pictures for.

    Parameters
    ----------
    pool : Pool
    size : Size
        As asked for.
    artists : sequence of str
        Names; by default `n_artists` of those that have enough pictures, drawn at random.
    n_artists : int
    seed : int

    Raises
    ------
    ImindexError
        An artist is unknown, or nobody has enough pictures.
    """
    unknown = [name for name in artists if name not in pool.auc]
    if unknown:
        raise ImindexError(
            f"The audit tests no artist {unknown[0]}. It tests {', '.join(list(pool.auc)[:10])}"
            f"{' and others' if len(pool.auc) > 10 else ''}."
        )
    lacking = {name: why for name in pool.auc if (why := _lacking(pool, name, size))}
    for name in artists:
        if name in lacking:
            raise ImindexError(
                f"{name} {lacking[name]}. Leave out this artist, or show fewer works (--works)."
            )
    able = [name for name in pool.auc if name not in lacking]
    if not able:
        name, why = next(iter(lacking.items()))
        raise ImindexError(
            f"No artist has enough pictures for a panel: {name} {why}. Show fewer works (--works)."
        )
    notes = []
    if lacking and not artists:
        notes.append(f"{_listed(list(lacking))} cannot be in the panel: too few works or imitations for it.")
    if artists:
        chosen = list(dict.fromkeys(artists))
    else:
        order = generator(seed, "panel artists").permutation(len(able))[:n_artists]
        chosen = [able[place] for place in sorted(order.tolist())]
    fewest = min(len(_usable(pool, name)) for name in chosen)
    per_artist = min(size.per_artist, fewest)
    if per_artist < size.per_artist:
        notes.append(
            f"{per_artist} trials per artist instead of {size.per_artist}: an artist has no more imitations whose "
            "template placebo names share."
        )
    of_set = max(len(_shared(pool, name)) for name in pool.placebos)
    set_size = max(1, min(size.set_size, per_artist, of_set, len(pool.placebos) - 1))
    if set_size < size.set_size:
        notes.append(f"{set_size} trials per placebo set instead of {size.set_size}.")
    n_full = sum(len(_shared(pool, name)) >= set_size for name in pool.placebos)
    sets = min(size.placebo_sets, n_full)
    if sets < size.placebo_sets:
        notes.append(f"{sets} placebo sets instead of {size.placebo_sets}: there are no more placebo names.")
    room = sum(_n_held(pool, name, size.works) for name in chosen) // 2 if len(chosen) > 1 else 0
    catch = min(size.catch, room)
    if catch < size.catch:
        notes.append(
            f"{catch} catch trials instead of {size.catch}: the artists have too few further works, or there is only "
            "one artist."
        )
    if catch < 4:
        notes.append("With fewer than 4 catch trials, inattentive raters are hard to tell from others.")
    repeats = min(size.repeats, per_artist * len(chosen) // 2)
    if UNKNOWN_TEMPLATE in {one.template for name in chosen for one in _usable(pool, name)}:
        notes.append(
            "The prompts of some pictures are unknown: the two pictures may be of different templates."
        )
    final = replace(
        size, per_artist=per_artist, placebo_sets=sets, set_size=set_size, catch=catch, repeats=repeats
    )
    return Design(tuple(chosen), final, tuple(notes))


def draw_trials(pool: Pool, design: Design, *, seed: int) -> Drawn:
    """Draw the pictures of all trials. No imitation or placebo picture is shown in two trials if there are enough.

    Parameters
    ----------
    pool : Pool
    design : Design
    seed : int

    Raises
    ------
    ImindexError
        If no placebo name has a picture of a template.
    """
    held = {name: _held(pool, name, design, seed) for name in design.artists}
    supply = _Supply(pool.placebos)
    placebo = _placebo_trials(pool, design, supply, seed)  # the fewest pictures fit these
    rows = [
        *_imitation_trials(pool, design, supply, seed),
        *placebo,
        *_catch_trials(pool, design, held, seed),
    ]
    ids = _Ids(seed)
    trials = []
    for place, row in enumerate(rows):
        rng = generator(seed, "panel trial", place)
        shown = [one for one in pool.works[row.artist] if one not in held[row.artist]]
        works = [shown[n] for n in rng.permutation(len(shown))[: design.size.works].tolist()]
        first = bool(rng.integers(2))
        a, b = (row.own, row.other) if first else (row.other, row.own)
        measured = [one for one in pool.works[row.artist] if one not in (row.own, row.other)]
        trials.append(
            PanelTrial(
                kind=row.kind,
                artist=row.artist,
                a=ids.of(a),
                b=ids.of(b),
                imitation="a" if first else "b",
                works=tuple(ids.of(work) for work in works),
                set=row.set,
                template=pool.templates[row.own.template] if row.own.template >= 0 else "",
                metric=pool.nearer(measured, a, b),
            )
        )
    notes = list(design.notes)
    n_catch = sum(row.kind == "catch" for row in rows)
    if n_catch < design.size.catch:
        notes.append(
            f"{n_catch} catch trials instead of {design.size.catch}: there are too few held-out works."
        )
    if supply.most > 1:
        notes.append(
            f"Placebo pictures are shown in up to {supply.most} trials, because there are too few. An attentive rater "
            "may recognise one. Audit with more placebo names, or ask for fewer trials."
        )
    return Drawn(tuple(trials), ids.pictures(), tuple(notes))


def draw_sheets(
    trials: Sequence[PanelTrial], *, n_raters: int, n_repeats: int, seed: int
) -> tuple[PanelSheet, ...]:
    """Draw the order and the sides of the trials for each rater.

    Parameters
    ----------
    trials : sequence of PanelTrial
    n_raters, n_repeats : int
    seed : int

    Returns
    -------
    tuple of PanelSheet

    Notes
    -----
    On a page, the imitation is on the left in half of the trials of each artist (or one more or less). The next page
    has the other sides. Repeated trials are imitation trials of the first half, shown again in the last third with
    the sides exchanged.
    """
    sheets = []
    for number in range(1, n_raters + 1):
        rng = generator(seed, "panel sheet", number)
        left = _sides(trials, generator(seed, "panel sides", (number + 1) // 2), mirrored=number % 2 == 0)
        order = rng.permutation(len(trials)).tolist()
        early = [trial for trial in order[: len(order) // 2] if trials[trial].kind == "imitation"]
        repeated = [early[n] for n in rng.permutation(len(early))[:n_repeats].tolist()]
        shown = [(trial, left[trial]) for trial in order]
        late = 2 * len(order) // 3
        for trial in repeated:
            place = int(rng.integers(late, len(shown) + 1))
            shown.insert(place, (trial, not left[trial]))
        tokens = generator(seed, "panel ids", number)
        sheets.append(
            PanelSheet(
                number=number,
                shown=tuple(
                    PanelShown(id=tokens.bytes(8).hex(), trial=trial, left="a" if a_left else "b")
                    for trial, a_left in shown
                ),
            )
        )
    return tuple(sheets)


def _sides(trials: Sequence[PanelTrial], rng: np.random.Generator, *, mirrored: bool) -> list[bool]:
    """Return for each trial whether picture a is on the left."""
    groups: dict[tuple[str, str], list[int]] = {}
    for place, trial in enumerate(trials):
        groups.setdefault((trial.kind, trial.artist if trial.kind == "imitation" else ""), []).append(place)
    left = [False] * len(trials)
    for places in groups.values():
        n = len(places)
        sides = np.arange(n) < n // 2 + (n % 2) * int(rng.integers(2))
        for place, own_left in zip(places, rng.permutation(sides).tolist(), strict=True):
            left[place] = (trials[place].imitation == "a") == (own_left != mirrored)
    return left


@dataclass(frozen=True)
class _Row:
    kind: TrialKind
    artist: str
    own: Candidate
    other: Candidate
    set: int = 0


class _Supply:
    """Placebo pictures, the least used first: of the pictures that fit, then of the names."""

    def __init__(self, placebos: Mapping[str, tuple[Candidate, ...]]):
        self._all = [one for listed in placebos.values() for one in listed]
        self._used: Counter[str] = Counter()
        self._of_name: Counter[str] = Counter()

    @property
    def most(self) -> int:
        """Number of trials of the picture that is shown most often."""
        return max(self._used.values(), default=0)

    def take(
        self, template: int, rng: np.random.Generator, *, without: Iterable[str] = (), never: str = ""
    ) -> Candidate:
        """Take a picture of a template by a name that is not among `without`, if there is one, and is not `never`."""
        excluded = set(without)
        fitting = [one for one in self._all if one.template == template and one.name != never]
        new = [one for one in fitting if one.name not in excluded]
        return self._take(new or fitting, rng)

    def take_of(self, pictures: Collection[Candidate], rng: np.random.Generator) -> Candidate:
        """Take one of some pictures."""
        return self._take(list(pictures), rng)

    def _take(self, fitting: Sequence[Candidate], rng: np.random.Generator) -> Candidate:
        uses = [(self._used[one.path], self._of_name[one.name]) for one in fitting]
        least = [one for one, use in zip(fitting, uses, strict=True) if use == min(uses)]
        taken = least[int(rng.integers(len(least)))]
        self._used[taken.path] += 1
        self._of_name[taken.name] += 1
        return taken


def _imitation_trials(pool: Pool, design: Design, supply: _Supply, seed: int) -> list[_Row]:
    """Draw trials of an imitation and a placebo picture of the same template, each against another placebo name."""
    artists = design.artists
    rngs = dict(zip(artists, generators(seed, "panel imitations", artists), strict=True))
    chosen = {name: _spread(_usable(pool, name), design.size.per_artist, rngs[name]) for name in artists}
    met: dict[str, set[str]] = {name: set() for name in artists}
    rows = []
    for turn in range(design.size.per_artist):
        for name in artists:
            own = chosen[name][turn]
            other = supply.take(own.template, rngs[name], without=met[name])
            met[name].add(other.name)
            rows.append(_Row("imitation", name, own, other))
    return rows


def _placebo_trials(pool: Pool, design: Design, supply: _Supply, seed: int) -> list[_Row]:
    """Draw placebo sets: trials of a placebo name in an artist's place, each against another placebo name."""
    full = [name for name in pool.placebos if len(_shared(pool, name)) >= design.size.set_size]
    rng = generator(seed, "panel placebo sets")
    names = [full[n] for n in rng.permutation(len(full))[: design.size.placebo_sets].tolist()]
    artists = [design.artists[n] for n in rng.permutation(len(design.artists)).tolist()]
    # The own pictures of all sets first, before another set takes them as opponents.
    own = [[supply.take_of(_shared(pool, name), rng) for _ in range(design.size.set_size)] for name in names]
    rows = []
    for number, (name, taken) in enumerate(zip(names, own, strict=True), 1):
        artist, met = artists[(number - 1) % len(artists)], {name}
        for picture in taken:
            other = supply.take(picture.template, rng, without=met, never=name)
            met.add(other.name)
            rows.append(_Row("placebo", artist, picture, other, number))
    return rows


def _catch_trials(
    pool: Pool, design: Design, held: Mapping[str, Sequence[Candidate]], seed: int
) -> list[_Row]:
    """Draw trials of a work of the artist and a work of another one, as different as the held-out works allow."""
    rng = generator(seed, "panel catch trials")
    left = {name: list(listed) for name, listed in held.items()}
    artists = [design.artists[n] for n in rng.permutation(len(design.artists)).tolist()]
    rows: list[_Row] = []
    turn = 0
    while len(rows) < design.size.catch and turn < 10 * design.size.catch:
        name = artists[turn % len(artists)]
        turn += 1
        shown = [one for one in pool.works[name] if one not in held[name]]
        others = [one for other in artists if other != name for one in left[other]]
        if not left[name] or not others:
            continue
        near = {one: float(pool.cosines(shown, one).mean()) for one in [*left[name], *others]}
        own, other = max(left[name], key=near.__getitem__), min(others, key=near.__getitem__)
        left[name].remove(own)
        left[other.name].remove(other)
        rows.append(_Row("catch", name, own, other))
    return rows


class _Ids:
    """Ids of pictures: random, and the same for a picture that is shown again."""

    def __init__(self, seed: int):
        self._rng = generator(seed, "panel pictures")
        self._found: dict[Candidate, str] = {}

    def of(self, picture: Candidate) -> str:
        if picture not in self._found:
            self._found[picture] = self._rng.bytes(8).hex()
        return self._found[picture]

    def pictures(self) -> tuple[PanelPicture, ...]:
        return tuple(
            PanelPicture(id=token, name=one.name, path=one.path, sha256=one.sha256)
            for one, token in sorted(self._found.items(), key=lambda item: item[1])
        )


def _usable(pool: Pool, artist: str) -> list[Candidate]:
    """Return the imitations of an artist whose template placebo names have too."""
    shared = {one.template for listed in pool.placebos.values() for one in listed}
    return [one for one in pool.imitations.get(artist, ()) if one.template in shared]


def _shared(pool: Pool, placebo: str) -> list[Candidate]:
    """Return the pictures of a placebo name whose template another placebo name has too."""
    others = {one.template for name, listed in pool.placebos.items() if name != placebo for one in listed}
    return [one for one in pool.placebos[placebo] if one.template in others]


def _lacking(pool: Pool, artist: str, size: Size) -> str:
    """Return what an artist lacks for a panel, after the name; empty if nothing."""
    n_works, n_imitations = len(pool.works.get(artist, ())), len(_usable(pool, artist))
    if n_works < size.works:
        return f"has {n_works} works, and each trial shows {size.works}"
    if n_imitations < 2:
        return f"has {n_imitations} imitations whose template placebo names share, and a panel needs 2"
    return ""


def _n_held(pool: Pool, artist: str, n_shown: int) -> int:
    return min(len(pool.works[artist]) - n_shown, max(0, len(pool.works[artist]) // 3))


def _held(pool: Pool, artist: str, design: Design, seed: int) -> list[Candidate]:
    """Draw the works that catch trials may use, and that are never shown as works of the artist."""
    if not design.size.catch:
        return []
    n = min(_n_held(pool, artist, design.size.works), 2 * -(-design.size.catch // len(design.artists)))
    order = generator(seed, "panel held-out works", artist).permutation(len(pool.works[artist]))
    return [pool.works[artist][place] for place in order[:n].tolist()]


def _spread(pictures: Sequence[Candidate], n: int, rng: np.random.Generator) -> list[Candidate]:
    """Draw n pictures, spread over their templates as evenly as possible."""
    groups: dict[int, list[Candidate]] = {}
    for place in rng.permutation(len(pictures)).tolist():
        groups.setdefault(pictures[place].template, []).append(pictures[place])
    out: list[Candidate] = []
    while len(out) < n:
        for listed in groups.values():
            if listed and len(out) < n:
                out.append(listed.pop())
    return out


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
