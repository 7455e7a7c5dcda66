"""The command that asks a model for pictures: generate."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.generate.model_settings import DTYPES, OFFLOADS
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    FromSignature,
    add_options,
    batch_size_of,
    command_line,
    device_option,
    json_option,
)
from imindex.indexer.terminal.output import clean, count, fail, print_json, print_table, say
from imindex.indexer.terminal.progress import progress_bar

if TYPE_CHECKING:
    from imindex.indexer.generate.generate import Report
    from imindex.indexer.generate.prompts import Shot

F = TypeVar("F", bound=Callable[..., Any])
SHOTS = "imindex.indexer.generate.prompts:shots"
MODEL = "imindex.indexer.generate.model_settings:ModelSettings"
ARMS = {
    "artist": "artists",
    "placebo": "placebo names",
    "nameless": "the name removed",
    "generic": "naming nobody",
}


def _what(command: F) -> F:
    """Add the options that say what is asked for."""
    return add_options(
        command,
        click.option(
            "--artists", "artists_file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
            help="CSV with a column `artist`, JSONL, or one name a line.",
        ),
        click.option("--artist", "names", multiple=True, metavar="NAME", help="A name; may be repeated."),
        click.option(
            "--per-artist", cls=FromSignature, of=SHOTS, type=click.IntRange(1), help="Pictures of every name."
        ),
        click.option(
            "--template", "templates", cls=FromSignature, of=SHOTS, multiple=True, metavar="TEXT",
            help="A prompt with {artist} in it; may be repeated: every name has the same number of pictures by each.",
        ),
        click.option("--placebos", type=click.IntRange(0), default=0, show_default=True, help="Invented names."),
        click.option(
            "--placebo-names", "placebo_file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
            help="Placebo names of your own.",
        ),
        click.option(
            "--nameless", cls=FromSignature, of=SHOTS, type=click.IntRange(0),
            help="Control pictures by the templates with the name removed.",
        ),
        click.option(
            "--generic", cls=FromSignature, of=SHOTS, multiple=True, metavar="TEXT",
            help="A control prompt that names nobody; may be repeated.",
        ),
        click.option(
            "--per-generic", cls=FromSignature, of=SHOTS, type=click.IntRange(1), help="Pictures of each."
        ),
        click.option(
            "--seed", cls=FromSignature, of=SHOTS, type=click.IntRange(0),
            help="Of all pictures and of the invented names.",
        ),
    )  # fmt: skip


def _how(command: F) -> F:
    """Add the options that say how the model is asked; unless given, the pipeline's own defaults hold."""
    return add_options(
        command,
        click.option("--revision", default="", help="Branch, tag or commit on the hub."),
        click.option("--lora", default="", metavar="FILE", help="LoRA weights (safetensors), or a hub id."),
        click.option("--lora-scale", cls=FromSignature, of=MODEL, type=float, help="Their strength."),
        click.option("--scheduler", default="", metavar="CLASS", help="Such as DPMSolverMultistepScheduler."),
        click.option(
            "--steps", cls=FromSignature, of=MODEL, type=click.IntRange(0), help="Denoising steps; 0: its own number."
        ),
        click.option("--guidance", type=float, help="Guidance scale."),
        click.option("--size", default="", metavar="N|WxH", help="Of the pictures: 512, or 512x768."),
        click.option("--negative-prompt", default="", metavar="TEXT", help="Of every picture."),
        click.option("--dtype", cls=FromSignature, of=MODEL, type=click.Choice(DTYPES), help="Arithmetic."),
        click.option(
            "--offload", cls=FromSignature, of=MODEL, type=click.Choice(OFFLOADS),
            help="Keep on the CPU what a small GPU does not need just now.",
        ),
        device_option,
        click.option(
            "--batch-size", default="auto", show_default=True, metavar="auto|N", help="Pictures a pass."
        ),
    )  # fmt: skip


@click.command(short_help="Ask a diffusion model for pictures in artists' names.")
@click.option(
    "--model",
    required=True,
    metavar="ID|FOLDER",
    help="A diffusers text-to-image pipeline: folder, or hub id.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="The release's folder."
)
@click.option("--release", default="", metavar="NAME", help="Its name; the folder's unless given.")
@_what
@_how
@click.option("--dry-run", is_flag=True, help="Say what would be made; the model is not looked at.")
@json_option
@errors_for_people
def generate(model: str, out: Path, release: str, dry_run: bool, as_json: bool, **options: Any) -> None:
    """Ask a diffusion model for pictures in artists' names, and in nobody's.

    Every picture has a seed of its own, derived from --seed, name, template and number: a part of the names, another
    order or batch size makes the same pictures, and the same command goes on after Ctrl-C or a crash. The folder's
    manifest.jsonl is what `imindex build` takes.

    \b
    imindex generate --model models/sd-2.1 --artists artists.csv --placebos 1399 --out imitations/sd-2.1
    imindex generate --model org/name --artist "Ada Example" --per-artist 4 --size 512 --out imitations/new
    """
    from imindex.indexer.generate.prompts import shots

    release = release or out.resolve().name
    artists, placebos = _names(options)
    wanted = shots(
        artists,
        placebos=placebos,
        **{
            key: options[key]
            for key in ("templates", "per_artist", "nameless", "generic", "per_generic", "seed")
        },
    )
    if not wanted:
        fail(
            "Nothing is asked for. Name artists with --artists or --artist, or give --placebos, --nameless, --generic."
        )
    if dry_run:
        _print_plan(wanted, out, release, as_json)
        return
    from imindex.indexer.generate.model_settings import ModelSettings

    fields = [field.name for field in dataclasses.fields(ModelSettings)]
    given = {key: options[key] for key in fields if key in options and options[key] is not None}
    report = _generate(wanted, out, release, ModelSettings(model=model, **given), options["batch_size"])
    if as_json:
        print_json(dataclasses.asdict(report))
        return
    for line in _notes(report):
        say(line)
    click.echo(
        f"Made {count(report.made, 'picture')} ({report.there:,} there already, {len(report.blocked):,} blocked) of "
        f"{count(report.names, 'name')} in {clean(str(out))}."
    )


def _names(options: dict[str, Any]) -> tuple[list[str], list[str]]:
    from imindex.indexer.generate.artists_file import names_of, read_artists
    from imindex.indexer.generate.placebo_names import placebo_names

    file, own = options["artists_file"], options["placebo_file"]
    artists = names_of([*(read_artists(file) if file else ()), *options["names"]])
    given = read_artists(own) if own else []
    return artists, given + placebo_names(options["placebos"], seed=options["seed"], avoid=[*artists, *given])


def _generate(wanted: list[Shot], out: Path, release: str, settings: Any, batch_size: str) -> Report:
    from imindex.indexer.generate.generate import generate, missing

    size = batch_size_of(batch_size)
    say(f"Looking at {settings.model}.")
    try:
        with progress_bar(len(wanted), "Generating") as progress:
            return generate(
                wanted,
                out,
                settings,
                release=release,
                batch_size=size,
                command=command_line(),
                progress=progress,
            )
    except KeyboardInterrupt:
        left = len(missing(wanted, out))
        raise ImindexError(
            f"Stopped. {len(wanted) - left:,} of {count(len(wanted), 'picture')} are in {out} and kept: run the same "
            "command again to go on."
        ) from None


def _print_plan(wanted: list[Shot], out: Path, release: str, as_json: bool) -> None:
    from imindex.indexer.generate.generate import missing

    left = len(missing(wanted, out))
    arms = {arm: _arm([shot for shot in wanted if shot.arm == arm]) for arm in ARMS}
    arms = {arm: one for arm, one in arms.items() if one["pictures"]}
    if as_json:
        print_json(
            {
                "folder": out,
                "release": release,
                "pictures": len(wanted),
                "there": len(wanted) - left,
                "to_make": left,
                "arms": arms,
            }
        )
        return
    print_table(
        f"{release}: what would be made",
        ["asked for", "such as", "names", "prompts", "pictures"],
        [
            [
                ARMS[arm],
                one["first_prompts"][0],
                f"{one['names']:,}",
                f"{one['prompts']:,}",
                f"{one['pictures']:,}",
            ]
            for arm, one in arms.items()
        ],
        left=2,
    )
    click.echo(
        f"Would make {count(left, 'picture')} ({len(wanted) - left:,} there already) in {clean(str(out))}; nothing was "
        "made."
    )


def _arm(asked: list[Shot]) -> dict[str, Any]:
    prompts = list(dict.fromkeys(shot.prompt for shot in asked))
    return {
        "names": len({shot.artist for shot in asked if shot.artist}),
        "pictures": len(asked),
        "prompts": len(prompts),
        "first_prompts": prompts[:3],
    }


def _notes(report: Report) -> list[str]:
    lines = list(report.notes)
    shown = report.blocked[:10]
    lines += [f"Blocked ({one['reason']}): {one['path']}: {one['prompt']}" for one in shown]
    if len(shown) < len(report.blocked):
        lines.append(f"... and {len(report.blocked) - len(shown):,} more: see `blocked` in manifest.jsonl.")
    plain = sum(one["reason"] == "one colour" for one in report.blocked)
    if plain > 0.1 * (report.made + report.there):
        lines.append(
            f"{count(plain, 'picture')} of one colour: fp16 may be too narrow for this model. Try --dtype bf16 or fp32 "
            "in another folder."
        )
    if report.others:
        lines.append(
            f"{report.folder} holds {count(report.others, 'picture')} of earlier runs besides; the manifest keeps them."
        )
    return lines
