"""Inputs of `recompute`: the files of `imindex export`, texts encoded by open_clip, and a release as arrays."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pyarrow.parquet
import torch
from scipy import stats

Array = np.ndarray[Any, Any]
Row = dict[str, Any]
METHODS = {"holm": "holm", "bh": "fdr_bh", "by": "fdr_by"}
FEWEST_PROMPTS = 5
SIGNIFICANT = (
    "imitated",
    "name effect; specificity not shown",
    "name effect; specificity not testable",
    "nearer than other artists",
)


@dataclass(frozen=True, eq=False)
class Export:
    """The files of `imindex export`, with one row per picture; `stored` are the vectors before whitening, if any."""

    folder: Path
    vectors: Array
    names: list[str]
    columns: dict[str, Array]
    stored: Array | None = None

    def where(self, *kinds: str, collection: str | None = None) -> Array:
        chosen = np.isin(self.columns["kind"], kinds)
        if collection is not None:
            chosen &= self.columns["collection"] == collection
        return np.flatnonzero(chosen)


def read_export(folder: Path) -> Export:
    """Read vectors and rows."""
    table = pyarrow.parquet.read_table(folder / "items.parquet").to_pydict()
    about = json.loads((folder / "index.json").read_text())
    return Export(
        folder,
        np.load(folder / "vectors.npy").astype(np.float64),
        [one["name"] for one in about["artists"]],
        {key: np.array(values, dtype=object if values and isinstance(values[0], str) else None)
         for key, values in table.items()},
    )  # fmt: skip


@functools.cache
@torch.inference_mode()
def text_vectors(model: Path, texts: tuple[str, ...]) -> Array:
    """Unit vectors of texts, by open_clip from the encoder's folder, rounded to float16 as in the index."""
    network = open_clip.create_model(f"local-dir:{model}").eval()
    features = network.encode_text(open_clip.get_tokenizer(f"local-dir:{model}")(list(texts)))
    return (features / features.norm(dim=-1, keepdim=True)).half().numpy().astype(np.float64)


@dataclass(frozen=True, eq=False)
class Seen:
    """One release with one encoder, as arrays: works of the tested artists and all imitations of the release.

    `model` is the folder that open_clip loads; None for an encoder without a text side.
    """

    export: Export
    release: str
    placebos: Sequence[str]
    model: Path | None
    plan: Mapping[str, Any]
    templates: Sequence[str]

    @property
    def csls_k(self) -> int:
        """Number of neighbours in CSLS; 0 if pictures are ranked by cosine."""
        return int(self.plan["tests"].get("csls_k", 0))

    def __post_init__(self) -> None:
        columns = self.export.columns
        works, made = self.export.where("works"), self.export.where("imitations", collection=self.release)
        every = len(works) + len(made)
        works, made = (self._once(rows) for rows in (works, made))
        object.__setattr__(self, "repeated", every - len(works) - len(made))
        cosines = similarity = self.export.vectors[works] @ self.export.vectors[made].T
        if self.csls_k:
            similarity = cosines - np.sort(cosines, axis=0)[::-1][: self.csls_k].mean(axis=0) / 2
        found = {
            "works": works, "made": made, "similarity": similarity, "cosines": cosines,
            "work_artist": columns["artist"][works], "asked": columns["artist"][made],
            "twice": np.rint(2 * stats.rankdata(similarity, axis=1)).astype(np.int64),
        }  # fmt: skip
        for name, value in found.items():
            object.__setattr__(self, name, value)

    def _once(self, rows: Array) -> Array:
        """The rows without later duplicates by the same artist with the same vector."""
        seen: set[tuple[str, bytes]] = set()
        kept = []
        for row in rows.tolist():
            key = (self.export.columns["artist"][row], self.export.vectors[row].tobytes())
            if key not in seen:
                seen.add(key)
                kept.append(row)
        return np.array(kept, dtype=np.int64)

    def design(self, name: str) -> tuple[list[int], list[tuple[str, int]]]:
        """How many pictures there are of each prompt, and of each template: the prompt without the name."""
        prompts = self.prompts(self.made[self.asked == name])
        templates = ["" if prompt.startswith("\0") else prompt.replace(name, "NAME") for prompt in prompts]
        return sorted(Counter(prompts).values()), sorted(Counter(templates).items())

    def prompts(self, rows: Array) -> list[str]:
        """The prompt of each picture; a picture without one has its own."""
        return [self.export.columns["prompt"][row] or f"\0{row}" for row in rows.tolist()]

    def shared(self, rows: Array) -> list[str]:
        """What pictures of several names share: the prompt up to the name; with few of them, prompt and seed."""
        columns = self.export.columns
        texts = [columns["prompt"][row].replace(columns["artist"][row], "{artist}") for row in rows.tolist()]
        every = [
            columns["prompt"][row].replace(columns["artist"][row], "{artist}") for row in self.made.tolist()
        ]
        if len(set(every) - {""}) >= FEWEST_PROMPTS:
            return [text or f"\0{row}" for text, row in zip(texts, rows.tolist(), strict=True)]
        return [
            f"\0{row}" if columns["seed"][row] is None or columns["seed"][row] < 0
            else f"{text}\0{columns['seed'][row]}"
            for text, row in zip(texts, rows.tolist(), strict=True)
        ]  # fmt: skip

    def cell(self, artist: str) -> Array:
        """For each work and own imitation: the share of others' imitations that are farther, with ties as one half."""
        table, own = self.similarity[self.work_artist == artist], self.asked == artist
        if not len(table) or not own.any() or own.all():
            return np.empty((0, 0))
        mine, others = table[:, own][:, :, None], table[:, ~own][:, None, :]
        return (mine > others).mean(axis=2) + (mine == others).mean(axis=2) / 2


def prompt_clusters(prompts: Sequence[str]) -> tuple[list[int] | None, bool]:
    """Number of each picture's prompt if prompts are drawn, and whether prompts repeat but are too few."""
    known = sorted(set(prompts))
    repeated = len(known) < len(prompts)
    if repeated and len(known) >= FEWEST_PROMPTS:
        return [known.index(prompt) for prompt in prompts], False
    return None, repeated
