"""The command `imindex generate`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imindex.indexer.cli._runner_options import place_of, runner_options
from imindex.indexer.core.bounds import CONTROLS, NAMES, PER_NAME, SCALE, SEED, STEPS
from imindex.indexer.core.errors import Interrupted
from imindex.indexer.generate.model_settings import DTYPES, OFFLOADS
from imindex.indexer.terminal.errors import errors_for_people
from imindex.indexer.terminal.options import (
    Command,
    FromSignature,
    add_options,
    batch_size_of,
    command_line,
    device_option,
    json_option,
    within,
)
from imindex.indexer.terminal.output import clean, count, echo, print_json, print_table, remark, say
from imindex.indexer.terminal.progress import progress_bar, quiet_option

if TYPE_CHECKING:
    from imindex.indexer.generate.generate import Pipelines, Report
    from imindex.indexer.generate.model_settings import ModelSettings
    from imindex.indexer.generate.prompts import Shot
    from imindex.indexer.runners.base import Place

SHOTS = "imindex.indexer.generate.prompts:shots"
MODEL = "imindex.indexer.generate.model_settings:ModelSettings"
ARMS = {
    "artist": "artists",
    "placebo": "placebo names",
    "rival": "further real names",
    "nameless": "the name removed",
    "generic": "no artist named",
}


def _prompt_options(command: Command) -> Command:
    """Add the options that define the names and prompts."""
    return add_options(
        command,
        click.option(
            "--artists", "artists_file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
            help="CSV with a column `artist` (and `origin`, which invented names match), JSONL, or text with "
            "one name per line.",
        ),
        click.option("--artist", "names", multiple=True, metavar="NAME", help="An artist's name. Repeatable."),
        click.option(
            "--per-artist", cls=FromSignature, of=SHOTS, type=within(PER_NAME), help="Pictures per name."
        ),
        click.option(
            "--template", "templates", cls=FromSignature, of=SHOTS, multiple=True, metavar="TEXT",
            help="A prompt that contains {artist}. Repeatable; each name gets equally many pictures from each.",
        ),
        click.option(
            "--placebos", type=within(NAMES), default=0, show_default=True, help="Number of invented names."
        ),
        click.option(
            "--placebo-names", "placebo_file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
            help="Your own placebo names.",
        ),
        click.option(
            "--placebo-seed", default="", metavar="from:FILE",
            help="A secret file that the invented names follow from instead of --seed, so that nobody can train on "
            "them.",
        ),
        click.option(
            "--placebo-drawing", type=click.Choice(("1", "2")),
            help="2: invented names match the artists' (origin, form, words, length); 1: they do not. "
            "[default: 2, or what --out was begun with]",
        ),
        click.option(
            "--rivals", type=within(NAMES), default=0, show_default=True,
            help="Number of further real names: artists who died before 1920.",
        ),
        click.option(
            "--nameless", cls=FromSignature, of=SHOTS, type=within(CONTROLS),
            help="Number of control pictures from the templates with the name removed.",
        ),
        click.option(
            "--generic", cls=FromSignature, of=SHOTS, multiple=True, metavar="TEXT",
            help="A control prompt that names no artist. Repeatable.",
        ),
        click.option(
            "--per-generic", cls=FromSignature, of=SHOTS, type=within(PER_NAME), help="Pictures per generic prompt."
        ),
        click.option(
            "--seed", cls=FromSignature, of=SHOTS, type=within(SEED),
            help="Seed of all pictures and of the invented names.",
        ),
        click.option(
            "--equal-seeds", is_flag=True,
            help="Give the pictures of all names, and those without a name, the same seeds.",
        ),
    )  # fmt: skip


def _model_options(command: Command) -> Command:
    """Add the options that configure the model; the pipeline's own defaults apply to those left out."""
    return add_options(
        command,
        click.option("--revision", default="", help="Branch, tag or commit on the hub."),
        click.option(
            "--lora", default="", metavar="FILE",
            help="LoRA weights (safetensors), or a hub id; needs peft (pip install 'imindex[lora]').",
        ),
        click.option(
            "--lora-scale", cls=FromSignature, of=MODEL, type=within(SCALE), help="Strength of the LoRA weights."
        ),
        click.option("--scheduler", default="", metavar="CLASS", help="Such as DPMSolverMultistepScheduler."),
        click.option(
            "--steps", cls=FromSignature, of=MODEL, type=within(STEPS),
            help="Denoising steps; 0: the pipeline's default.",
        ),
        click.option("--guidance", type=within(SCALE), help="Guidance scale."),
        click.option("--size", default="", metavar="N|WxH", help="Picture size, such as 512 or 512x768."),
        click.option("--negative-prompt", default="", metavar="TEXT", help="Negative prompt of every picture."),
        click.option(
            "--dtype", cls=FromSignature, of=MODEL, type=click.Choice(DTYPES), help="Floating-point type."
        ),
        click.option(
            "--offload", cls=FromSignature, of=MODEL, type=click.Choice(OFFLOADS),
            help="Keep idle parts of the model on the CPU, for a small GPU.",
        ),
        device_option,
        click.option(
            "--batch-size", default="auto", show_default=True, metavar="auto|N",
            help="Pictures per forward pass. A few missing pictures also take a whole pass, since pictures of another "
            "batch size can differ by a grey level.",
        ),
    )  # fmt: skip


@click.command(short_help="Generate pictures from artists' names with a diffusion model.")
@click.option(
    "--model",
    required=True,
    metavar="ID|FOLDER",
    help="A diffusers text-to-image pipeline: a folder or a hub id.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of the release.",
)
@click.option(
    "--release", default="", metavar="NAME", help="The name of the release.  [default: the folder's name]"
)
@_prompt_options
@_model_options
@runner_options
@click.option("--dry-run", is_flag=True, help="Print what would be made, without loading the model.")
@json_option
@quiet_option
@errors_for_people
def generate(model: str, out: Path, release: str, dry_run: bool, as_json: bool, **options: Any) -> None:
    """Generate pictures from artists' names, and control pictures, with a diffusion model.

    Every picture has its own seed, derived from --seed, name, template and number. A subset of the names, another
    order or another batch size therefore gives the same pictures. Run the same command again to resume after Ctrl-C
    or a crash. Pass the folder's manifest.jsonl to `imindex build`. With --on ray, each encoder is a pipeline.

    \b
    imindex generate --model models/sd-2.1 --artists artists.csv \\
        --placebos 1399 --out imitations/sd-2.1
    imindex generate --model org/name --artist "Ada Example" \\
        --per-artist 4 --size 512 --out imitations/new
    """
    from imindex.indexer.generate.prompts import shots

    release = release or out.resolve().name
    place = place_of(options)
    artists, placebos, rivals = _names(options, out)
    wanted = shots(
        artists,
        placebos=placebos,
        rivals=rivals,
        **{
            key: options[key]
            for key in (
                "templates",
                "per_artist",
                "nameless",
                "generic",
                "per_generic",
                "seed",
                "equal_seeds",
            )
        },
    )
    if not wanted:
        raise click.UsageError(
            "There is nothing to generate. Name artists with --artists or --artist, or pass --placebos, --nameless or "
            "--generic."
        )
    if dry_run:
        _print_plan(wanted, out, release, as_json)
        return
    from imindex.indexer.generate.model_settings import ModelSettings

    fields = [field.name for field in dataclasses.fields(ModelSettings)]
    settings = {key: options[key] for key in fields if key in options and options[key] is not None}
    chosen = ModelSettings(model=model, **settings)
    with _pipelines(place, chosen) as pipelines:
        report = _generate(wanted, out, release, chosen, options["batch_size"], pipelines)
    if as_json:
        print_json(dataclasses.asdict(report))
        return
    for line in _notes(report):
        say(line)
    echo(
        f"Made {count(report.made, 'picture')} ({report.there:,} already present, {len(report.blocked):,} blocked) "
        f"of {count(report.names, 'name')} in {out}."
    )


def _names(options: Mapping[str, Any], out: Path) -> tuple[list[str], list[str], list[str]]:
    """Return the artists, the placebo names and the further real names."""
    from imindex.indexer.core.names import alike_note
    from imindex.indexer.generate.artist_origins import STATED, origins_of
    from imindex.indexer.generate.artists_file import names_of, read_artists, read_origins
    from imindex.indexer.generate.historical_artists import historical_names
    from imindex.indexer.generate.matched_names import MATCHED, drawing_begun, matched_placebos
    from imindex.indexer.generate.placebo_names import placebo_names
    from imindex.indexer.generate.secret_seed import read_seed

    artists_file, placebo_file = options["artists_file"], options["placebo_file"]
    artists = names_of([*(read_artists(artists_file, say) if artists_file else ()), *options["names"]])
    own = read_artists(placebo_file, say) if placebo_file else []
    if alike := alike_note([*artists, *own]):
        say(alike)
    n, avoid = options["placebos"], [*artists, *own]
    rivals = historical_names(options["rivals"], seed=options["seed"], avoid=avoid)
    secret = read_seed(options["placebo_seed"]) if options["placebo_seed"] else None
    if secret is not None:
        for warning in secret.warnings:
            say(f"Warning: {warning}")
        say(f"The invented names follow from a secret file with the SHA-256 {secret.digest}.")
    first = placebo_names(n, seed=options["seed"] if secret is None else secret.key.hex(), avoid=avoid)
    chosen = options["placebo_drawing"]
    drawing = int(chosen) if chosen else drawing_begun(out, first)
    if drawing != MATCHED or not artists:
        return artists, own + first, rivals
    origins = origins_of(artists, read_origins(artists_file) if artists_file else {})
    if n:
        for one in origins:
            say(f"{clean(one.artist)}: {one.origin or 'of unknown origin'} ({clean(one.source)}).")
        if unknown := [one for one in origins if not one.origin and one.source != STATED]:
            say(_unknown_origins(len(unknown)))
    matched = matched_placebos(origins, n, seed=options["seed"] if secret is None else secret.key, avoid=own)
    return artists, own + [placebo.name for placebo in matched], rivals


def _unknown_origins(n: int) -> str:
    artists = "1 artist is" if n == 1 else f"{n:,} artists are"
    return (
        f"{artists} of unknown origin: placebo names of all origins stand in, which is a less close reference. If you "
        "know the origin, state it in the column `origin` of --artists FILE, such as dutch or japanese; otherwise, "
        "write unknown there."
    )


def _pipelines(place: Place, model: ModelSettings) -> AbstractContextManager[Pipelines | None]:
    """Return the pipelines of a cluster; None for one in this process."""
    if place.on == "local":
        return nullcontext()
    from imindex.indexer.generate.on_ray import pipelines_on_ray

    return pipelines_on_ray(place, model, say)


def _generate(
    wanted: list[Shot],
    out: Path,
    release: str,
    settings: ModelSettings,
    batch_size: str,
    pipelines: Pipelines | None,
) -> Report:
    from imindex.indexer.generate.generate import generate, missing

    size = batch_size_of(batch_size)
    say(f"Loading {settings.model}.")
    try:
        with progress_bar(len(wanted), "Generating") as progress:
            return generate(
                wanted,
                out,
                settings,
                release=release,
                batch_size=size,
                command=command_line(),
                pipelines=pipelines,
                progress=progress,
            )
    except KeyboardInterrupt:
        left = len(missing(wanted, out))
        raise Interrupted(
            f"Stopped. {len(wanted) - left:,} of {count(len(wanted), 'picture')} are in {out}. Run the same command "
            "again to resume."
        ) from None


def _print_plan(wanted: list[Shot], out: Path, release: str, as_json: bool) -> None:
    from imindex.indexer.generate.generate import missing

    left = len(missing(wanted, out))
    arms = {arm: _Arm.of([shot for shot in wanted if shot.arm == arm]) for arm in ARMS}
    arms = {arm: summary for arm, summary in arms.items() if summary.pictures}
    if as_json:
        print_json(
            {
                "folder": out,
                "release": release,
                "pictures": len(wanted),
                "there": len(wanted) - left,
                "to_make": left,
                "arms": {arm: dataclasses.asdict(summary) for arm, summary in arms.items()},
            }
        )
        return
    print_table(
        f"{release}: what would be made",
        ["prompts with", "example", "names", "prompts", "pictures"],
        [
            [
                ARMS[arm],
                summary.first_prompts[0],
                f"{summary.names:,}",
                f"{summary.prompts:,}",
                f"{summary.pictures:,}",
            ]
            for arm, summary in arms.items()
        ],
        left=2,
    )
    remark(
        f"Would make {count(left, 'picture')} ({len(wanted) - left:,} already present) in {out}; made none."
    )


@dataclasses.dataclass(frozen=True)
class _Arm:
    """The numbers of names, prompts and pictures in one arm of a release, and its first prompts."""

    names: int
    pictures: int
    prompts: int
    first_prompts: list[str]

    @classmethod
    def of(cls, shots: list[Shot]) -> _Arm:
        prompts = list(dict.fromkeys(shot.prompt for shot in shots))
        return cls(
            names=len({shot.artist for shot in shots if shot.artist}),
            pictures=len(shots),
            prompts=len(prompts),
            first_prompts=prompts[:3],
        )


def _notes(report: Report) -> list[str]:
    lines = list(report.notes)
    shown = report.blocked[:10]
    lines += [f"Blocked ({blocked.reason}): {blocked.path}: {blocked.prompt}" for blocked in shown]
    if len(shown) < len(report.blocked):
        lines.append(f"... and {len(report.blocked) - len(shown):,} more: see `blocked` in manifest.jsonl.")
    plain = sum(blocked.reason == "one colour" for blocked in report.blocked)
    if plain > 0.1 * (report.made + report.there):
        lines.append(
            f"{count(plain, 'picture')} of a single colour: the range of fp16 may be too small for this model. Try "
            "--dtype bf16 or fp32 with another folder."
        )
    if report.others:
        lines.append(
            f"{report.folder} also holds {count(report.others, 'picture')} of earlier runs; the manifest keeps them."
        )
    return lines
