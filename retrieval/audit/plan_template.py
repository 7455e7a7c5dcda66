"""A commented plan, for `imindex audit init`."""

from __future__ import annotations

import glob
import json
import textwrap
from collections.abc import Sequence

from imindex.retrieval.audit.layout import FoundRelease, Layout, left_open, writable

_TEMPLATE = """\
# The plan of an imindex audit. It lists every key, with its default if there is one. Edit it, then run
#
#     imindex audit {name} --dry-run      show what the audit will produce, and how long it will take
#     imindex audit {name}                generate, encode, classify, match, test, compare, report
#
# The audit registers the digest of the plan before it generates the first picture. A later change is
# an error unless --amend "the reason" records it. Paths are relative to this file.
{open}
title = "Does the release imitate these artists?"
seed = 0                          # for every picture and every resample
rivals = "auto"                   # further real names, artists who died before 1920: references for "this artist rather
                                  # than another". auto: as many as the level needs beyond the other tested artists,
                                  # {n_rivals} with {n_artists} tested. Or "none", a number, or a list of names.

[artists]
# The tested artists: a list, or file = "artists.csv" (a column `artist`, or one name per line).
tested = {tested}
# origins = {{ "Ada Example" = "english" }}    # of names, which placebo names match; a column `origin` of the file does
                                  # as well. By default guessed from the name, and printed.
# unknown = ["Bo Sample"]         # tested names or rivals that the releases cannot know: a check of the placebo names

[works]
{works}# works/ARTIST/*, or a manifest (CSV, JSONL, Parquet). Artists in it who are
                                  # not tested are background: additional candidates.
{background}# works of more such artists
{control}# pictures without an artist

{without_effect}{existing}# One [[releases]] per model. The audit generates the pictures of a model ...
{model}[[releases]]
{model}name = "sd-2.1"
{model}model = "stabilityai/stable-diffusion-2-1"    # Hub id or folder of a diffusers pipeline
# revision = "..."                # commit on the Hub
# lora = "path.safetensors"       # with lora_scale = 1.0
# scheduler = "DDIMScheduler"     # default: that of the pipeline, as for the next three
# steps = 50
# guidance = 7.5
# size = "512x512"
# dtype = "auto"                  # auto, fp16, bf16, fp32
# negative_prompt = ""
# offload = "none"                # none, model, sequential: for GPUs with little memory

# ... or asks an API for them; see docs/howto/api-only-model.md ...
# [[releases]]
# name = "service"
# api = "https://images.example.org"    # POST .../v1/images/generations
# model = "name-1"                # as the API calls it
# key_env = "IMAGE_API_KEY"       # the environment variable of the key, which is neither stored nor printed
# size = "1024x1024"
# send_seeds = false              # many APIs refuse a seed, or ignore it
# response_format = ""            # b64_json or url; by default left to the API
# refusal_codes = []              # further codes by which this API refuses prompts

# ... or uses existing pictures: pictures/api-model/NAME IN THE PROMPT/*, or a manifest.
# [[releases]]
# name = "api-model"
# pictures = "pictures/api-model"
# placebos = ["placebo *"]        # the names that are invented; default: those of the arm placebo in the manifest
# requests = "pictures/requests.jsonl"  # the log of the requests for them, if there is one

[prompts]
templates = ["Artwork from {{artist}}"]         # {{artist}} is where the name goes
per_artist = 20                   # pictures of each name, spread evenly over the templates
placebos = "auto"                 # number of invented names, which the release cannot know: the reference.
                                  # auto: as many as level and correction require. For {n_artists} artists with
                                  # these settings, that is {needed:,}; with adjust = "bh", {needed_bh:,}.
                                  # "auto by origin": that many for each origin of the artists' names, so that each
                                  # artist is compared with names of the same origin.
# placebo_seed = "from:placebo.seed"    # a secret file that determines these names, so that nobody can train on them;
                                  # its digest is registered. head -c 32 /dev/urandom > placebo.seed
nameless = 20                     # control pictures, generated from the templates without the name
# equal_seeds = true              # the pictures of all names, and those without a name, have the same seeds; not by API
# generic = ["A painting"]        # control prompts that name no artist; per_generic = 20 pictures of each

# One [[encoders]] per model. Several give one finding for each artist, from one test. Choose them on works alone, with
# `imindex encoders compare`. With a model without a text side, pictures are classified by works instead of names.
[[encoders]]
{encoder}# an open_clip name, local-dir:FOLDER, hf-hub:ORG/REPO, a JSON file, timm:NAME,
                                  # transformers:FOLDER, demo or demo-style; see `imindex encoders list`
{weights}# an open_clip tag, or a file of weights
# name = "ViT-L-14"
# precision = "auto"
{preprocess}# TAG or MODEL:TAG, for a file of weights; see AUDITS.md
# color = "auto"                  # auto, srgb (pictures are converted by their colour profiles) or as-encoded

[tests]
level = 0.05                      # for all artists together
adjust = "holm"                   # holm (any false finding), bh or by (proportion of false findings)
n_resamples = 9999
confidence_level = 0.95
labels = ["Artwork", "Digital artwork", "Artwork from the public domain"]   # besides the artists
# templates = ["Artwork from {{artist}}"]       # for classification by name; default: those of the prompts
# as_paper = true                 # add the tests of Casper et al. 2023 to the report, with what they assume
# csls = 15                       # correct ranks for hubs by CSLS over so many neighbours; 0: by cosine
# whiten = true                   # whiten all vectors by what is learnt on works (stats/METHODS.md)
copies_rate = 0.05                # probability that an audit without copies has a candidate for a copy

# Further questions, each with its own tests and its own section of the report: see docs/questions.md
# [questions.name_adds]           # what the artist's name adds, beyond what any name adds; needs equal_seeds = true

# [compare]
# base = "sd-2.0"                 # the release that the others are compared with
# margin = 0.05                   # the largest change of the mean AUC that does not matter; tests that it is smaller

# [case]                          # for the report, and part of the plan's digest
# number = "2026-0417"
# examiner = "Ada Example"

# [gate]
# fail_if = ["auc.beyond.low > 0", "risen > 0"]       # exit code 3, or 4 if undecided; see retrieval/RELEASES.md
"""


_WITHOUT_EFFECT = """\
# rivals above, and per_artist, placebos and nameless under [prompts], have no effect on pictures made elsewhere.
"""


def template(
    name: str,
    artists: Sequence[str],
    *,
    level: float = 0.05,
    layout: Layout | None = None,
    model: str = "",
    pretrained: str = "",
    preprocess_from: str = "",
) -> str:
    """Return a commented plan as text.

    Parameters
    ----------
    name : str
        Name of the file, for the comments.
    artists : sequence of str
        The tested artists; if empty, the plan shows an example.
    level : float
    layout : Layout, optional
        What the folder of the plan holds. Its releases are those of the plan; without any, the plan shows an example.
    model, pretrained, preprocess_from : str
        The encoder, by default an example.
    """
    from imindex.retrieval.audit.rivals import rivals_needed
    from imindex.stats.references import references_needed

    layout = layout or Layout()
    names = list(artists) or ["Ada Example", "Bo Sample"]
    listed = "[\n" + "".join(f"    {toml_text(artist)},\n" for artist in names) + "]"
    n = len(names)
    used = [release for release in layout.releases if release.name in layout.used]
    has_weights = bool(pretrained or not model)
    return _TEMPLATE.format(
        name=_comment(name),
        open=_open(layout),
        tested=listed if artists else json.dumps(names, allow_nan=False),
        works=_line("tested", layout.works or "works"),
        background=_line("background", layout.background or "background", used=bool(layout.background)),
        control=_line("control", layout.control or "control", used=bool(layout.control)),
        without_effect=_WITHOUT_EFFECT if used else "",
        existing="".join(_release(layout, release) for release in used),
        model="# " if used else "",
        encoder=_line("model", model or "ViT-L-14"),
        weights=_line("pretrained", pretrained or "openai", used=has_weights),
        preprocess=_line("preprocess_from", preprocess_from or "openai", used=bool(preprocess_from)),
        n_artists=n,
        n_rivals=max(0, rivals_needed(level) - n + 1),
        needed=references_needed(level, n),
        needed_bh=references_needed(level * -(-n // 10) / n),
    )


def toml_text(text: str) -> str:
    """Return a string of TOML. JSON escapes the same characters, except one."""
    return json.dumps(text, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")


def _line(key: str, value: str, *, used: bool = True) -> str:
    """Return a key and its value, commented out if it is only an example, padded to the column of the comments."""
    return f"{'' if used else '# '}{key} = {toml_text(value)}".ljust(33) + " "


def _comment(text: str) -> str:
    """Return text that stays in one line of a comment, whatever it holds."""
    return "".join(c if c.isprintable() else "?" for c in text.encode("utf-8", "replace").decode())


def _open(layout: Layout) -> str:
    """Say in comments what the plan leaves open."""
    if not (layout.works or layout.releases):
        return ""
    lines = ["", "# Left open by `imindex audit init`, which guesses nothing:"]
    for sentence in left_open(layout):
        lines += textwrap.wrap(
            _comment(sentence), 100, initial_indent="# - ", subsequent_indent="#   ",
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
    return "\n".join([*lines, ""]) if len(lines) > 2 else ""


def _release(layout: Layout, release: FoundRelease) -> str:
    """Return the table of a release of existing pictures."""
    n_placebos = sum(arm == "placebo" for arm in release.arms.values())
    open_names = [name for name in layout.without_works(release) if writable(name)]
    n = sum(release.names.values())
    lines = [
        "[[releases]]",
        f"name = {toml_text(release.name)}",
        f"pictures = {toml_text(release.pictures)}    # {n:,} imitations of {len(release.names):,} names",
    ]
    if n_placebos:
        lines.append(f"# {n_placebos:,} of them are placebo names, as its manifest says.")
    if open_names:
        lines.append("# Names without works. Keep those that are invented, and remove the # in front:")
        lines.append(f"# placebos = [{', '.join(toml_text(glob.escape(name)) for name in open_names)}]")
    return "\n".join(lines) + "\n\n"
