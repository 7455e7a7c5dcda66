"""The commands that make and keep an index: build, info, remove, export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    batch_size_of,
    command_line,
    device_option,
    index_option,
    json_option,
    limit_options,
    limits_of,
)
from imindex.indexer.terminal.output import clean, count, print_json, say
from imindex.indexer.terminal.progress import progress_bar

KIND_CHOICES = ("works", "imitations", "control", "background")
PASSED_ON = (
    "kind", "collection", "artist", "model", "pretrained", "device", "precision", "strict", "prune", "rehash",
    "retry_rejects",
)  # fmt: skip


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
    from imindex.indexer.build.from_sources import build_from_sources

    report = build_from_sources(
        sources,
        index,
        **{name: options[name] for name in PASSED_ON},
        batch_size=batch_size_of(options["batch_size"]),
        limits=limits_of(options),
        command=command_line(),
        note=say,
        progress=lambda total: progress_bar(total, "Encoding"),
    )
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
