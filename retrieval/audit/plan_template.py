"""A commented plan, for `imindex audit init`."""

from __future__ import annotations

import json
from collections.abc import Sequence

_TEMPLATE = """\
# A plan of an imindex audit. Every key is here, with its default where it has one. Write it, then run
#
#     imindex audit {name} --dry-run      what it will make, and how long it will take
#     imindex audit {name}                generate, encode, classify, match, test, compare, report
#
# The plan is registered by its digest before the first picture is made. A later change is refused,
# unless --amend "the reason" records it. Paths are relative to this file.

title = "Does the release imitate these artists?"
seed = 0                          # of every picture and every resample

[artists]
# Whose imitation is tested. A list, or file = "artists.csv" (a column `artist`, or one name a line).
tested = {tested}

[works]
tested = "works"                  # works/ARTIST/*, or a manifest (CSV, JSONL, Parquet). Artists in it who are
                                  # not tested are background: further candidates to be told from.
# background = "background"       # works of more such artists
# control = "control"             # pictures that name no artist

# One [[releases]] for each model. A model is asked here ...
[[releases]]
name = "sd-2.1"
model = "stabilityai/stable-diffusion-2-1"    # hub id, or folder of a diffusers pipeline
# revision = "..."                # commit of the hub
# lora = "path.safetensors"       # with lora_scale = 1.0
# scheduler = "DDIMScheduler"     # by default the pipeline's own, as for the next three
# steps = 50
# guidance = 7.5
# size = "512x512"
# dtype = "auto"                  # auto, fp16, bf16, fp32
# negative_prompt = ""
# offload = "none"                # none, model, sequential: for GPUs with little memory

# ... or its pictures were made elsewhere: pictures/api-model/NAME ASKED FOR/*, or a manifest.
# [[releases]]
# name = "api-model"
# pictures = "pictures/api-model"
# placebos = ["placebo *"]        # which of the names are invented ones

[prompts]
templates = ["Artwork from {{artist}}"]         # {{artist}} is where the name goes
per_artist = 20                   # pictures of each name, spread evenly over the templates
placebos = "auto"                 # invented names that the release cannot know: the floor. auto: as many as
                                  # level and correction ask for; with {n_artists} tested and these settings {needed:,}.
                                  # With adjust = "bh" far fewer: {needed_bh:,}.
nameless = 20                     # control pictures: the templates with the name removed
# generic = ["A painting"]        # control prompts that name nobody, per_generic = 20 pictures of each

# One [[encoders]] for each CLIP that is to judge; agreement between several is reported.
[[encoders]]
model = "ViT-L-14"                # an open_clip name, local-dir:FOLDER, hf-hub:ORG/REPO, a JSON file, or demo
pretrained = "openai"             # a tag that open_clip knows, or a file of weights
# name = "ViT-L-14"
# precision = "auto"

[tests]
level = 0.05                      # of all artists together
adjust = "holm"                   # holm (any false finding), bh or by (share of false findings)
n_resamples = 9999
confidence_level = 0.95
labels = ["Artwork", "Digital artwork", "Artwork from the public domain"]   # beside the artists
# templates = ["Artwork from {{artist}}"]       # naming the artists in classification, if not those of the prompts
copies_rate = 0.05                # probability that an audit without copies has a candidate for a copy

# [compare]
# base = "sd-2.0"                 # the release that the others are compared with

# [gate]
# fail_if = ["accuracy > base + 0.05", "significant > 3"]       # exit code 1; see retrieval/RELEASES.md
"""


def template(name: str, artists: Sequence[str], *, level: float = 0.05) -> str:
    """The plan as text.

    Parameters
    ----------
    name : str
        Of the file, for the comments.
    artists : sequence of str
        Tested; an example unless there are any.
    level : float
    """
    from imindex.stats.references import references_needed

    names = list(artists) or ["Ada Example", "Bo Sample"]
    listed = "[\n" + "".join(f"    {json.dumps(one, ensure_ascii=False)},\n" for one in names) + "]"
    n = len(names)
    return _TEMPLATE.format(
        name=name,
        tested=listed if artists else json.dumps(names),
        n_artists=n,
        needed=references_needed(level, n),
        needed_bh=references_needed(level * -(-n // 10) / n),
    )
