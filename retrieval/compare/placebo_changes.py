"""Changes of the AUC of every name's set for every artist's works, and their tests against placebo names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imindex.retrieval.evidence.testing import MIN_PROMPTS, Testing
from imindex.retrieval.vectors.blocks import Float64, Int64
from imindex.stats.changes import ChangeTest, MeanChange, change_test, mean_change
from imindex.stats.keyed import generator

Sums = Callable[[str, str], tuple[Int64, Int64]]
"""For an artist and a name: of each imitation of the name, the sum of twice its midrank from below by the artist's
works, for both releases."""


@dataclass(frozen=True, eq=False)
class Asked:
    """The imitations of one release, as needed here; M imitations.

    Attributes
    ----------
    name : sequence of str, length M
        Name in the prompt of each imitation.
    prompt : sequence of str, length M
    template : ndarray, shape (M,), int64
        Number of the template of each imitation; -1 if it is not known.
    seed : ndarray, shape (M,), int64
        -1 if it is not known.
    """

    name: Sequence[str]
    prompt: Sequence[str]
    template: Int64
    seed: Int64

    def rows(self) -> dict[str, Int64]:
        """Return the imitations of each name."""
        names = np.array(self.name, dtype=object)
        return {str(name): np.flatnonzero(names == name) for name in dict.fromkeys(self.name)}


@dataclass(frozen=True, eq=False)
class PlaceboChanges:
    """Tests of the changes of some artists.

    Attributes
    ----------
    placebos : tuple of str
        Placebo names that both releases were asked for.
    artists : dict of str to ChangeTest
        Only artists that can be compared with placebo names.
    overall : MeanChange or None
        None if there are no such artists.
    notes : tuple of str
    """

    placebos: tuple[str, ...]
    artists: Mapping[str, ChangeTest]
    overall: MeanChange | None
    notes: tuple[str, ...]


def placebo_changes(
    artists: Mapping[str, int],
    placebos: Sequence[str],
    base: Asked,
    new: Asked,
    sums: Sums,
    testing: Testing,
    alternative: str,
) -> PlaceboChanges:
    """Test the changes of some artists against those of placebo names.

    Parameters
    ----------
    artists : mapping from str to int
        Number of works of each artist that is compared.
    placebos : sequence of str
        Placebo names of both releases.
    base, new : Asked
    sums : callable
    testing : Testing
        `references` names the placebo names of some artists.
    alternative : {"two-sided", "greater", "less"}

    Returns
    -------
    PlaceboChanges

    Notes
    -----
    An artist is compared with the placebo names of the same design: as many pictures by each template in either
    release, and as many that the two releases have with the same template and seed. Other sets cannot be exchangeable:
    a mean over fewer pictures varies more.
    """
    if not placebos:
        return PlaceboChanges((), {}, None, (NO_PLACEBOS,))
    names = sorted({*artists, *placebos})
    rows = base.rows(), new.rows()
    designs = {name: _design(base, new, rows[0][name], rows[1][name]) for name in names}
    allowed = testing.references or {}
    usable = {
        artist: [
            name
            for name in placebos
            if designs[name] == designs[artist] and (artist not in allowed or name in allowed[artist])
        ]
        for artist in sorted(artists)
    }
    compared = [artist for artist, others in usable.items() if others]
    notes = []
    unlike = [artist for artist, others in usable.items() if not others]
    if unlike:
        notes.append(
            f"Not tested: {', '.join(unlike)}. No placebo name was asked for with as many pictures by each template "
            "and seed in both releases."
        )
    if not compared:
        return PlaceboChanges(tuple(placebos), {}, None, tuple(notes))
    scores = [
        {artist: _scores(artists[artist], names, by_name, side, sums, artist) for artist in compared}
        for side, by_name in enumerate(rows)
    ]
    # The AUC of a set is the mean of its pictures' scores.
    table = np.array(
        [
            [scores[1][artist][name].mean() - scores[0][artist][name].mean() for name in names]
            for artist in compared
        ]
    )
    tests = {
        artist: change_test(
            float(table[place, names.index(artist)]),
            table[place, [names.index(name) for name in usable[artist]]],
            alternative=alternative,
            confidence_level=testing.confidence_level,
        )
        for place, artist in enumerate(compared)
    }
    overall = mean_change(
        table,
        [names.index(artist) for artist in compared],
        [[names.index(name) for name in usable[artist]] for artist in compared],
        prompts=_influences(base, new, rows, names, compared, scores),
        alternative=alternative,
        confidence_level=testing.confidence_level,
        n_resamples=testing.n_resamples,
        rng=generator(testing.seed, "mean change", "assignment"),
    )
    return PlaceboChanges(tuple(placebos), tests, overall, tuple(notes))


NO_PLACEBOS = (
    "No test of a change is possible: there are no placebo names that both releases were asked for. Two releases "
    "differ in much that is not imitation, and only the change of names without meaning shows how much. Ask both "
    "releases for the same invented names, and pass them with --placebo."
)


def _scores(
    n_works: int, names: Sequence[str], rows: Mapping[str, Int64], side: int, sums: Sums, artist: str
) -> dict[str, Float64]:
    """Return the score of each imitation of each name, whose mean over a set is the AUC of the set.

    It is the share of imitations of other names that are further; the ranks within the own set are replaced by their
    mean, which is the same for every set of this size.
    """
    n_all = sum(len(own) for own in rows.values())
    scores = {}
    for name in names:
        twice = sums(artist, name)[side] / n_works
        n = len(twice)
        scores[name] = (twice - (n + 1)) / (2 * (n_all - n))
    return scores


def _design(base: Asked, new: Asked, here: Int64, there: Int64) -> tuple[object, ...]:
    """Return what sets must have in common to be exchangeable."""
    keys = [
        Counter(zip(side.template[own].tolist(), side.seed[own].tolist(), strict=True))
        for side, own in ((base, here), (new, there))
    ]
    paired = sum(n for (_, seed), n in (_texts(base, here) & _texts(new, there)).items() if seed >= 0)
    templates: list[tuple[tuple[int, int], ...]] = []
    for key in keys:
        counted: Counter[int] = Counter()
        for (template, _), n in key.items():
            counted[template] += n
        templates.append(tuple(sorted(counted.items())))
    return (*templates, paired)


def _texts(side: Asked, rows: Int64) -> Counter[tuple[str, int]]:
    return Counter((side.prompt[row], int(side.seed[row])) for row in rows.tolist())


def _influences(
    base: Asked,
    new: Asked,
    rows: Sequence[Mapping[str, Int64]],
    names: Sequence[str],
    artists: Sequence[str],
    scores: Sequence[Mapping[str, Mapping[str, Float64]]],
) -> Float64 | None:
    """Return what the pictures of each prompt that names share contribute to each change; None if none is shared."""
    labels = _shared(base, new, rows, names)
    if labels is None:
        return None
    numbers, n_labels = labels
    out = np.zeros((n_labels, len(artists), len(names)))
    for side, sign in ((0, -1.0), (1, 1.0)):
        for column, name in enumerate(names):
            label = numbers[side][name]
            kept = label >= 0
            for place, artist in enumerate(artists):
                values = scores[side][artist][name]
                out[:, place, column] += sign * np.bincount(
                    label[kept], ((values - values.mean()) / len(values))[kept], minlength=n_labels
                )
    return out


def _shared(
    base: Asked, new: Asked, rows: Sequence[Mapping[str, Int64]], names: Sequence[str]
) -> tuple[list[dict[str, Int64]], int] | None:
    """Number the prompts, up to the name, that several names share; with few of them, the prompts and seeds."""
    keys: list[dict[str, list[tuple[str, int]]]] = []
    for side, by_name in zip((base, new), rows, strict=True):
        keys.append(
            {
                name: [
                    (side.prompt[row].replace(name, "{artist}"), int(side.seed[row]))
                    for row in by_name[name].tolist()
                ]
                for name in names
            }
        )
    templates = {key[0] for side in keys for own in side.values() for key in own if key[0]}
    if len(templates) >= MIN_PROMPTS:
        keys = [{name: [(text, 0) for text, _ in own] for name, own in side.items()} for side in keys]
    users: Counter[tuple[str, int]] = Counter()
    for name in names:
        users.update({key for side in keys for key in side[name] if key[0] and key[1] >= 0})
    shared = sorted(key for key, n in users.items() if n > 1)
    if len(shared) < 2:
        return None
    number = {key: place for place, key in enumerate(shared)}
    return [
        {name: np.array([number.get(key, -1) for key in own], np.int64) for name, own in side.items()}
        for side in keys
    ], len(shared)
