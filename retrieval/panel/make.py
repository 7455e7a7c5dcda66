"""Make a panel: read the audit, draw the trials, seal the key, and write a page for each rater."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from imindex.indexer.core.bounds import SEED
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import now, program
from imindex.indexer.system.atomic import make_folder, put_folder_in_place, write_file
from imindex.indexer.system.input_files import exists
from imindex.retrieval.panel.design import Design, Size, draw_sheets, draw_trials, plan_design
from imindex.retrieval.panel.page import page
from imindex.retrieval.panel.pool import Pool, read_pool
from imindex.retrieval.panel.sealing import KEY, key_digest
from imindex.retrieval.results import (
    PanelArtist,
    PanelForecast,
    PanelKey,
    PanelPowerRow,
    PanelRule,
    to_json,
)
from imindex.stats.agreement import panel_power
from imindex.stats.keyed import generator

PAGES = "pages"
SECONDS_PER_TRIAL = 7.0
"""Time of a trial for the forecast: about what people take to compare two small pictures with four others."""
SHARES = (0.6, 0.7, 0.8, 0.9, 0.95)
"""Shares of answers that the forecast computes the power for."""
_RESAMPLES_OF_POWER = 999


@dataclass(frozen=True)
class MadePanel:
    """A panel that was written.

    Attributes
    ----------
    folder : Path
    key : PanelKey
    pages : tuple of Path
    """

    folder: Path
    key: PanelKey
    pages: tuple[Path, ...]


def make(  # noqa: PLR0913
    audit: Path,
    out: Path,
    *,
    release: str | None,
    encoder: str | None,
    artists: Sequence[str],
    n_artists: int,
    size: Size,
    side: int,
    rule: PanelRule,
    seed: int | None,
    force: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> MadePanel:
    """Make a panel from a finished audit. The parameters are those of `imindex.retrieval.api.make_panel`.

    Raises
    ------
    ImindexError
        The audit cannot be used, or `out` exists.
    """
    from imindex.retrieval.panel.shown_pictures import encoded  # imports torch
    from imindex.retrieval.report.thumbnails import places_of_audit

    if exists(out) and not force:
        raise ImindexError(
            f"{out} exists. A panel that raters have seen must not change: name another folder, or pass --force."
        )
    seed = drawn_seed() if seed is None else seed
    pool = read_pool(audit, release, encoder)
    design = plan_design(pool, size, artists=artists, n_artists=n_artists, seed=seed)
    key = _key(pool, design, side, rule, seed)
    note(f"Encoding {len(key.pictures):,} pictures.")
    pictures = dict(encoded(places_of_audit(audit, pool.indexes), key.pictures, side))
    with put_folder_in_place(out, {KEY, PAGES}) as folder:
        make_folder(folder / PAGES)
        for sheet in key.sheets:
            write_file(folder / PAGES / page_name(sheet.number), page(key, sheet, pictures))
        write_file(folder / KEY, to_json(key, indent=1))
    return MadePanel(out, key, tuple(out / PAGES / page_name(sheet.number) for sheet in key.sheets))


def forecast(  # noqa: PLR0913
    audit: Path,
    *,
    release: str | None,
    encoder: str | None,
    artists: Sequence[str],
    n_artists: int,
    size: Size,
    rule: PanelRule,
    seed: int | None,
) -> PanelForecast:
    """Say how large a panel is, how long it takes, and what it can find, without writing anything."""
    seed = drawn_seed() if seed is None else seed
    pool = read_pool(audit, release, encoder)
    design = plan_design(pool, size, artists=artists, n_artists=n_artists, seed=seed)
    size = design.size
    n_imitation, n_placebo = size.per_artist * len(design.artists), size.placebo_sets * size.set_size
    n_shown = n_imitation + n_placebo + size.catch + size.repeats
    rows = panel_power(
        SHARES,
        n_artists=len(design.artists),
        n_trials=size.per_artist,
        n_raters=size.raters,
        n_placebo_sets=size.placebo_sets,
        set_size=size.set_size,
        level=rule.level,
        method=rule.adjust,
        n_resamples=_RESAMPLES_OF_POWER,
        rng=generator(seed, "panel power"),
    )
    return PanelForecast(
        release=pool.release,
        artists=design.artists,
        n_raters=size.raters,
        n_imitation=n_imitation,
        n_placebo=n_placebo,
        n_catch=size.catch,
        n_repeated=size.repeats,
        n_shown=n_shown,
        minutes=n_shown * SECONDS_PER_TRIAL / 60,
        seconds=SECONDS_PER_TRIAL,
        smallest_p=0.5**size.per_artist,
        power=tuple(PanelPowerRow(share=row.share, together=row.together, alone=row.alone) for row in rows),
        notes=design.notes,
    )


def drawn_seed() -> int:
    """Return a seed that nobody can guess."""
    return secrets.randbelow(int(SEED.most) + 1)


def page_name(number: int) -> str:
    """Return the file name of a page."""
    return f"rater-{number:02d}.html"


def _key(pool: Pool, design: Design, side: int, rule: PanelRule, seed: int) -> PanelKey:
    drawn = draw_trials(pool, design, seed=seed)
    key = PanelKey(
        created=now(),
        program=program(),
        report=pool.report,
        release=pool.release,
        encoder=pool.encoder,
        seed=seed,
        side=side,
        rule=rule,
        artists=tuple(PanelArtist(artist=name, auc=pool.auc[name]) for name in design.artists),
        pictures=drawn.pictures,
        trials=drawn.trials,
        sheets=draw_sheets(
            drawn.trials, n_raters=design.size.raters, n_repeats=design.size.repeats, seed=seed
        ),
        notes=drawn.notes,
    )
    return replace(key, digest=key_digest(key))
