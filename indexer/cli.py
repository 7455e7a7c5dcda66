"""The commands that make and keep an index: build, info, remove, export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from indexer.console import (
    batch_size_of,
    clean,
    command_line,
    count,
    device_option,
    errors_for_people,
    fail,
    index_option,
    json_option,
    limit_options,
    limits_of,
    print_json,
    print_table,
    progress_bar,
    say,
)

KIND_CHOICES = ("works", "imitations", "control", "background")


@click.command(short_help="Encode pictures into an index, each once.")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="SOURCE...")
@index_option
@click.option("--kind", type=click.Choice(KIND_CHOICES), help="What the pictures of SOURCE are.")
@click.option("--collection", help="The set they belong to, such as the release's name.")
@click.option("--artist", help="The artist of all of them.")
@click.option(
    "--model", help="demo, an open_clip name, local-dir:FOLDER, hf-hub:ORG/REPO or a JSON configuration."
)
@click.option("--pretrained", help="A tag that open_clip knows, or a file of weights.")
@device_option
@click.option(
    "--precision", type=click.Choice(("auto", "fp16", "bf16", "fp32")), default="auto", show_default=True,
    help="auto: fp16 on CUDA; on a CPU bf16 where it computes in bf16, else fp32.",
)  # fmt: skip
@click.option("--batch-size", default="auto", show_default=True, metavar="auto|N", help="Pictures a batch.")
@click.option("--strict", is_flag=True, help="Fail if a picture cannot be read; the index is not written.")
@click.option("--prune", is_flag=True, help="Take out the rows of pictures that SOURCE does not hold.")
@click.option(
    "--rehash", is_flag=True, help="Read every file, also those of the same size, time of change and inode."
)
@click.option("--retry-rejects", is_flag=True, help="Try pictures again that could not be read before.")
@limit_options
@json_option
@errors_for_people
def build(sources: tuple[Path, ...], index: Path, as_json: bool, **options: Any) -> None:
    """Encode pictures into an index, each once.

    SOURCE is a folder laid out as works/ARTIST/*, imitations/RELEASE/ARTIST/*, control/*, background/ARTIST/*
    (or one of these), any other folder of ARTIST/* with --kind, or a manifest (CSV, JSONL, Parquet) with the
    columns path, artist, kind, collection, prompt, seed, caption.

    The index is created, or added to. Run the same command again to go on after Ctrl-C or a crash.

    \b
    imindex build art/ --model demo
    imindex build works/ imitations/sd-2.1 -i audit.h5 --model ViT-L-14 --pretrained openai
    """
    from indexer.sources import find

    found = find(
        sources, kind=options["kind"], collection=options["collection"], artist=options["artist"], note=say
    )
    items = list(found)
    if not items:
        fail(f"No pictures in {', '.join(map(str, sources))}. Check the folder, or see imindex build --help.")
    report = _build(items, index, options)
    if as_json:
        print_json({"index": index, **asdict(report)})
        return
    for line in _build_notes(report, index):
        say(line)
    unchanged = report.unchanged + report.moved
    click.echo(
        f"Encoded {count(report.encoded, 'picture')} ({unchanged} unchanged, {report.rejected} rejected) "
        f"into {clean(str(index))}: {count(report.rows, 'row')}, {report.seconds:.1f} s."
    )


def _build(items: list[Any], index: Path, options: dict[str, Any]) -> Any:
    from indexer.build import build
    from indexer.lazy_encoder import encoder_for

    lazy = encoder_for(
        index,
        **{name: options[name] for name in ("model", "pretrained", "device", "precision")},
        batch_size=batch_size_of(options["batch_size"]),
        note=say,
    )
    with progress_bar(len(items), "Encoding") as progress:
        return build(
            items,
            index,
            lazy,
            strict=options["strict"],
            retry_rejects=options["retry_rejects"],
            prune=options["prune"],
            rehash=options["rehash"],
            limits=limits_of(options),
            command=command_line(),
            progress=progress,
        )


def _build_notes(report: Any, index: Path) -> Iterator[str]:
    if report.resumed:
        yield f"{count(report.resumed, 'picture')} had been encoded by a run that was stopped."
    if report.moved:
        yield f"{count(report.moved, 'picture')} had moved: new path, same vector."
    if report.pruned:
        yield f"{count(report.pruned, 'picture')} were not given, and taken out of {index}."
    if report.replaced:
        yield f"{count(report.replaced, 'picture')} had changed bytes: the old rows are replaced."
    if report.repeated:
        yield f"{count(report.repeated, 'picture')} given more than once: the first mention counts."
    if report.rejected:
        yield (
            f"{count(report.rejected, 'picture')} could not be read: see `imindex info --rejects -i {index}`."
        )
    yield from report.notes
    if report.waiting:
        yield (
            f"{count(report.waiting, 'picture')} of other sources, encoded by a stopped build, "
            f"wait in {index}.parts."
        )


@click.command(short_help="Say what an index holds and how it came to be.")
@index_option
@click.option(
    "--artists", "show_artists", is_flag=True, help="List the artists with their numbers of pictures."
)
@click.option("--rejects", "show_rejects", is_flag=True, help="List the pictures that could not be read.")
@click.option("--duplicates", "show_duplicates", is_flag=True, help="List pictures with the same bytes.")
@click.option(
    "--provenance", "show_provenance", is_flag=True, help="List every change: who, what, when, and digests."
)
@json_option
@errors_for_people
def info(
    index: Path,
    show_artists: bool,
    show_rejects: bool,
    show_duplicates: bool,
    show_provenance: bool,
    as_json: bool,
) -> None:
    """Say what an index holds and how it came to be.

    Who made a change is user@host as it was then, or what $IMINDEX_WHO said, if anything.

    \b
    imindex info
    imindex info -i audit.h5 --rejects
    imindex info -i audit.h5 --provenance
    """
    from indexer.describe import describe, provenance_rows, search_in_words
    from indexer.store import Index

    with Index(index) as opened:
        said = describe(opened)
    if as_json:
        print_json(said)
        return
    encoder = said["encoder"]
    rows = [
        ["rows", str(said["n"])],
        ["root digest", said["root-digest"]],
        ["format", said["format"]],
        ["encoder", f"{encoder['name']}, {encoder['dim']} dimensions"],
        ["weights", encoder["weights-sha256"]],
        ["search", search_in_words(said["ann"])],
        ["created", f"{said['created-at']} by {said['created-by']}"],
        ["last change", said["log"][-1]["when"] + ", " + said["log"][-1]["summary"]],
        ["rejects", str(len(said["rejects"]))],
        ["same bytes", said["duplicates-summary"]],
    ]
    print_table(str(index), [], rows, left=2)
    print_table(
        "Collections",
        ["collection", "kind", "artists", "pictures", "rejected"],
        [
            [c["name"], c["kind"], str(c["artists"]), str(c["pictures"]), str(c["rejected"])]
            for c in said["collections"]
        ],
        left=2,
    )
    if show_artists:
        kinds = [kind for kind in KIND_CHOICES if kind != "control"]
        print_table(
            "Artists",
            ["artist", *kinds],
            [[a["name"], *(str(a[kind]) for kind in kinds)] for a in said["artists"]],
        )
    if show_rejects and said["rejects"]:
        rejected = [[r["path"], r["reason"]] for r in said["rejects"]]
        print_table("Pictures that could not be read", ["path", "reason"], rejected, left=2)
    if show_duplicates and said["duplicates"]:
        same_bytes = [[d["sha256"][:12], d["artist"], d["collection"], d["path"]] for d in said["duplicates"]]
        print_table(
            "Pictures with the same bytes", ["sha256", "artist", "collection", "path"], same_bytes, left=4
        )
    if show_provenance:
        for number, line in enumerate(said["log"], 1):
            print_table(f"Change {number}", [], provenance_rows(line), left=2)
    click.echo(
        f"{clean(str(index))} holds {count(said['n'], 'picture')} by {count(len(said['artists']), 'artist')}."
    )


@click.command(short_help="Take pictures out of an index for good.")
@index_option
@click.option("--artist", "artists", multiple=True, help="All pictures of this artist. May be repeated.")
@click.option("--collection", "collections", multiple=True, help="A whole collection. May be repeated.")
@click.option(
    "--sha256", "digests", multiple=True, help="The pictures with these bytes (64 hexadecimal digits)."
)
@click.option("--dry-run", is_flag=True, help="Say what would go, and leave the index as it is.")
@json_option
@errors_for_people
def remove(
    index: Path,
    artists: tuple[str, ...],
    collections: tuple[str, ...],
    digests: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Take pictures out of an index for good: vectors, rows, rejects and names.

    Several kinds of condition must all hold; without one nothing is removed. The pictures themselves are left
    where they are, and come back with the next build that is given them.

    \b
    imindex remove --artist "Ada Example"
    imindex remove --collection sd-1.5 --dry-run
    """
    if not artists and not collections and not digests:
        raise click.UsageError("Say what to remove: --artist, --collection or --sha256.")
    from indexer.remove import remove as remove_rows

    report = remove_rows(index, artists=artists, collections=collections, digests=digests, dry_run=dry_run)
    if as_json:
        print_json({"index": index, "dry-run": dry_run, **asdict(report)})
        return
    for line in report.notes:
        say(line)
    verb = "Would remove" if dry_run else "Removed"
    click.echo(
        f"{verb} {count(report.removed, 'picture')} and {count(report.rejects, 'reject')} "
        f"from {clean(str(index))}: {count(report.rows, 'row')} {'would be' if dry_run else 'are'} left."
    )


@click.command(short_help="Write an index as NumPy and Parquet files.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@index_option
@click.option("--force", is_flag=True, help="Overwrite the files of an earlier export.")
@json_option
@errors_for_people
def export(folder: Path, index: Path, force: bool, as_json: bool) -> None:
    """Write an index as FOLDER/vectors.npy, items.parquet, rejects.parquet and index.json.

    Row i of vectors.npy (float16) is row i of items.parquet.

    \b
    imindex export out/ -i audit.h5
    """
    from indexer.describe import export as write_files
    from indexer.store import Index

    with Index(index) as opened:
        files = write_files(opened, folder, force=force)
        n = opened.n
    if as_json:
        print_json({"index": index, "rows": n, "files": files})
        return
    click.echo(f"Exported {count(n, 'row')} of {clean(str(index))} to {clean(str(folder))}.")
