"""A commented plan, for `imindex audit init`."""

from __future__ import annotations

import json
from collections.abc import Sequence

_TEMPLATE = """\
# The plan of an imindex audit. It lists every key, with its default if there is one. Edit it, then run
#
#     imindex audit {name} --dry-run      show what the audit will produce, and how long it will take
#     imindex audit {name}                generate, encode, classify, match, test, compare, report
#
# The audit registers the digest of the plan before it generates the first picture. A later change is
# an error unless --amend "the reason" records it. Paths are relative to this file.

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
tested = "works"                  # works/ARTIST/*, or a manifest (CSV, JSONL, Parquet). Artists in it who are
                                  # not tested are background: additional candidates.
# background = "background"       # works of more such artists
# control = "control"             # pictures without an artist

# One [[releases]] per model. The audit generates the pictures of a model ...
[[releases]]
name = "sd-2.1"
model = "stabilityai/stable-diffusion-2-1"    # Hub id or folder of a diffusers pipeline
# revision = "..."                # commit on the Hub
# lora = "path.safetensors"       # with lora_scale = 1.0
# scheduler = "DDIMScheduler"     # default: that of the pipeline, as for the next three
# steps = 50
# guidance = 7.5
# size = "512x512"
# dtype = "auto"                  # auto, fp16, bf16, fp32
# negative_prompt = ""
# offload = "none"                # none, model, sequential: for GPUs with little memory

# ... or uses existing pictures: pictures/api-model/NAME IN THE PROMPT/*, or a manifest.
# [[releases]]
# name = "api-model"
# pictures = "pictures/api-model"
# placebos = ["placebo *"]        # the names that are invented

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
# generic = ["A painting"]        # control prompts that name no artist; per_generic = 20 pictures of each

# One [[encoders]] per CLIP model. With several, the report shows where they agree.
[[encoders]]
model = "ViT-L-14"                # an open_clip name, local-dir:FOLDER, hf-hub:ORG/REPO, a JSON file, or demo
pretrained = "openai"             # an open_clip tag, or a file of weights
# name = "ViT-L-14"
# precision = "auto"
# color = "auto"                  # auto, srgb (pictures are converted by their colour profiles) or as-encoded

[tests]
level = 0.05                      # for all artists together
adjust = "holm"                   # holm (any false finding), bh or by (proportion of false findings)
n_resamples = 9999
confidence_level = 0.95
labels = ["Artwork", "Digital artwork", "Artwork from the public domain"]   # besides the artists
# templates = ["Artwork from {{artist}}"]       # for classification by name; default: those of the prompts
# as_paper = true                 # add the tests of Casper et al. 2023 to the report, with what they assume
copies_rate = 0.05                # probability that an audit without copies has a candidate for a copy

# [compare]
# base = "sd-2.0"                 # the release that the others are compared with
# margin = 0.05                   # the largest change of the mean AUC that does not matter; tests that it is smaller

# [case]                          # for the report, and part of the plan's digest
# number = "2026-0417"
# examiner = "Ada Example"

# [gate]
# fail_if = ["auc.beyond.low > 0", "risen > 0"]       # exit code 3, or 4 if undecided; see retrieval/RELEASES.md
"""


def template(name: str, artists: Sequence[str], *, level: float = 0.05) -> str:
    """Return a commented plan as text.

    Parameters
    ----------
    name : str
        Name of the file, for the comments.
    artists : sequence of str
        The tested artists; if empty, the plan shows an example.
    level : float
    """
    from imindex.retrieval.audit.rivals import rivals_needed
    from imindex.stats.references import references_needed

    names = list(artists) or ["Ada Example", "Bo Sample"]
    listed = "[\n" + "".join(f"    {json.dumps(artist, ensure_ascii=False)},\n" for artist in names) + "]"
    n = len(names)
    return _TEMPLATE.format(
        name=name,
        tested=listed if artists else json.dumps(names),
        n_artists=n,
        n_rivals=max(0, rivals_needed(level) - n + 1),
        needed=references_needed(level, n),
        needed_bh=references_needed(level * -(-n // 10) / n),
    )
