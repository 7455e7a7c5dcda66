"""The command `imindex build`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from imindex.indexer.cli._runner_options import place_of, runner_options
from imindex.indexer.terminal.complete import complete_artists, complete_collections
from imindex.indexer.terminal.confirm import confirm, yes_option
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    Location,
    batch_size_of,
    command_line,
    device_option,
    index_option,
    json_option,
    limit_options,
    limits_of,
    preprocess_option,
    rendering_options,
    root_option,
    roots_of,
    trust_option,
)
from imindex.indexer.terminal.output import count, echo, fail, print_json, say
from imindex.indexer.terminal.progress import progress_bar, quiet_option

_REASONS = 5
KIND_CHOICES = ("works", "imitations", "control", "background")
PASSED_ON = (
    "kind", "collection", "artist", "artist_from", "model", "pretrained", "preprocess_from", "trust_encoder", "device",
    "precision", "strict", "prune", "rehash", "retry_rejects", "color", "truncated",
)  # fmt: skip


artist_from_option = click.option(
    "--artist-from",
    metavar="PATTERN",
    help="How the paths in SOURCE tell the artists: a template, such as {artist}_*.png or .../{artist}/*, or "
    "re:REGEX with a group (?P<artist>...).",
)


@click.command(short_help="Encode pictures into an index, each once.")
@click.argument("sources", nargs=-1, required=True, type=Location(), metavar="SOURCE...")
@index_option
@click.option("--kind", type=click.Choice(KIND_CHOICES), help="The kind of all pictures in SOURCE.")
@click.option(
    "--collection",
    help="The set the pictures belong to, such as a release name.",
    shell_complete=complete_collections,
)
@click.option("--artist", help="The artist of all pictures in SOURCE.", shell_complete=complete_artists)
@click.option(
    "--model",
    help="demo, demo-style, an open_clip model name, local-dir:FOLDER, hf-hub:ORG/REPO, a JSON "
    "configuration, or another back end.",
)
@click.option("--pretrained", help="An open_clip pretrained tag, or a weights file.")
@preprocess_option
@trust_option
@device_option
@click.option(
    "--precision", type=click.Choice(("auto", "fp16", "bf16", "fp32")), default="auto", show_default=True,
    help="auto: fp16 on CUDA; on a CPU, bf16 if it supports bf16 arithmetic, otherwise fp32.",
)  # fmt: skip
@click.option("--batch-size", default="auto", show_default=True, metavar="auto|N", help="Pictures per batch.")
@click.option("--strict", is_flag=True, help="Fail if a picture cannot be read, without writing the index.")
@click.option(
    "--prune", is_flag=True, help="Remove the rows of pictures that are not in SOURCE, after a question."
)
@click.option(
    "--rehash",
    is_flag=True,
    help="Read every file, even if its size, modification time and inode are unchanged.",
)
@click.option("--retry-rejects", is_flag=True, help="Retry pictures that were rejected before.")
@limit_options
@rendering_options
@root_option
@artist_from_option
@runner_options
@json_option
@quiet_option
@yes_option
@errors_for_people
def build(sources: tuple[Path | str, ...], index: Path, as_json: bool, yes: bool, **options: Any) -> None:
    """Encode pictures into an index, each once.

    SOURCE is a folder laid out as works/ARTIST/*, imitations/RELEASE/ARTIST/*, control/*, background/ARTIST/*
    (or one of these folders); any other folder of ARTIST/* with --kind, or in another layout with --artist-from;
    or a manifest (CSV, TSV, JSONL, Parquet) with the columns path, artist, kind, collection, prompt, seed, caption,
    arm (own, placebo, nameless, control, rival), model and blocked, as `imindex generate` writes it. A file
    manifest.csv (.jsonl, .parquet) in any of these folders is read in its place. Paths of a manifest are inside its
    folder, or inside a folder that --root names.

    SOURCE may also be a tar shard as webdataset and img2dataset write it, or a pattern such as "d/{00000..00099}.tar".
    Folders may hold shards wherever they may hold pictures. Artist and kind are told by the .json of each picture, the
    Parquet file beside the shard, the folders inside and around it, or the options.

    Pictures that a safety filter blocked (marked in `blocked`, or all black imitations and controls) are recorded, and
    left out of every search and test. With --rehash, they are found in an index of an earlier version, too.

    Every file of a folder is a picture (by its suffix, or else by its first bytes), or is passed over and counted, as
    are Thumbs.db, sidecars such as 1.json, lists, indexes, and hidden files.

    The index is created if it does not exist. Run the same command again to resume after Ctrl-C or a crash.

    \b
    imindex build art/ --model demo
    imindex build "{00000..00099}.tar" --kind works --artist-from "{artist}/*"
    imindex build pile/ --kind works --artist-from "{artist}_*.png"
    imindex build works/ imitations/sd-2.1 -i audit.h5 --model ViT-L-14 \\
        --pretrained openai
    """
    from imindex.indexer.build.from_sources import build_from_sources

    report = build_from_sources(
        sources,
        index,
        **{name: options[name] for name in PASSED_ON},
        batch_size=batch_size_of(options["batch_size"]),
        limits=limits_of(options),
        roots=roots_of(options),
        place=place_of(options),
        command=command_line(),
        note=say,
        progress=lambda total: progress_bar(total, "Encoding"),
        confirm=lambda removal: confirm(removal, index, yes),
    )
    if as_json:
        print_json({"index": index, **asdict(report)})
        _refuse_nothing(report, index)
        return
    for line in _build_notes(report, index):
        say(line)
    unchanged = report.unchanged + report.moved
    known = f"{report.added_known:,} added without encoding, " if report.added_known else ""
    blocked = f", {report.blocked} blocked" if report.blocked else ""
    echo(
        f"Encoded {count(report.encoded, 'picture')} ({known}{unchanged} unchanged, {report.rejected} "
        f"rejected{blocked}) into {index}: {count(report.rows, 'row')}, {report.seconds:.1f} s."
    )
    _refuse_nothing(report, index)


def _refuse_nothing(report: Any, index: Path) -> None:
    """End with an error if every picture was rejected, and say why."""
    if report.nothing_usable:
        reasons = [f"{reason} ({n:,})" for reason, n in report.reasons[:_REASONS]]
        if len(report.reasons) > _REASONS:
            reasons.append(f"and {len(report.reasons) - _REASONS:,} other reasons")
        n_rejected = report.rejected + report.blocked
        n = "The only picture was" if n_rejected == 1 else f"All {n_rejected:,} pictures were"
        fail(f"{n} rejected: {'; '.join(reasons)}. `imindex info --rejects -i {index}` lists them.")


def _build_notes(report: Any, index: Path) -> Iterator[str]:
    if report.resumed:
        yield f"{count(report.resumed, 'picture')} already encoded by an interrupted run."
    if report.relinked:
        yield f"{count(report.relinked, 'picture')} re-linked: the same file under another path, which is stored now."
    if report.moved:
        yield f"{count(report.moved, 'picture')} moved: new path, same vector."
    if report.pruned:
        yield f"{count(report.pruned, 'picture')} not in the sources: removed from {index}."
    if report.replaced:
        yield f"{count(report.replaced, 'picture')} with changed bytes: old rows replaced."
    if report.repeated:
        yield f"{count(report.repeated, 'picture')} listed more than once: the first occurrence is used."
    if report.rejected:
        yield (
            f"{count(report.rejected, 'picture')} rejected: `imindex info --rejects -i {index}` lists the reasons."
        )
    if report.blocked:
        yield (
            f"{count(report.blocked, 'picture')} blocked by a safety filter: left out of every search and test, and "
            f"listed by `imindex info --rejects -i {index}`."
        )
    yield from report.notes
    if report.waiting:
        yield (
            f"{count(report.waiting, 'picture')} from other sources, encoded by an interrupted build, "
            f"remain in {index}.parts."
        )
