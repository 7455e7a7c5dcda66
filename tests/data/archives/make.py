"""Write the archived indexes of the format version that the installed imindex writes.

    cd tests/data/archives && ../../../.venv/bin/python make.py VERSION [--approximate] [--arms]

It was run once per version, with the code of that version. Do not regenerate its files: they stand for the files that
users have. `known.json` holds their content as read by plain h5py and brute force. The pictures in art/ are the same
for all versions.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
TREE = {"works/Ada Example": 4, "works/Bo Sample": 4, "imitations/r1/Ada Example": 2, "control": 1}


def draw() -> None:
    """Eleven small pictures by two artists, one of them a duplicate, and one that cannot be read."""
    art, number = HERE / "art", 0
    for folder, count in TREE.items():
        (art / folder).mkdir(parents=True, exist_ok=True)
        for place in range(count):
            blocks = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(blocks.repeat(6, 0).repeat(6, 1)).save(art / folder / f"{place}.png")
            number += 1
    (art / "works/Bo Sample/again.png").write_bytes((art / "works/Ada Example/0.png").read_bytes())
    (art / "works/Ada Example/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")


def imindex(folder: Path, *words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "imindex", *words],
        cwd=folder,
        check=True,
        env={**os.environ, "IMINDEX_WHO": ""},
    )


def known(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        vectors = file["vectors"][:].astype(np.float64)
        scores = vectors @ vectors.T
        order = np.argsort(-scores, axis=1, kind="stable")
        text = {
            name: [value.decode() for value in file[name][:]]
            for name in (
                "artists/name",
                "collections/name",
                "items/path",
                "rejects/path",
                "rejects/reason",
                "log/command",
            )
        }
        return {
            "version": file.attrs["encoding-version"],
            "root-digest": file.attrs["root-digest"],
            "weights-sha256": file["encoder"].attrs["weights-sha256"],
            "kind": file["ann"].attrs["kind"],
            "n": len(vectors),
            **({name: values[:20] for name, values in text.items()}),
            "items/artist": file["items/artist"][:20].tolist(),
            "items/sha256": [bytes(value).hex() for value in file["items/sha256"][:20]],
            "vectors-sha256": hashlib.sha256(file["vectors"][:].tobytes()).hexdigest(),
            "nearest-of-row-5": order[5, :5].tolist(),
            "scores-of-row-5": scores[5, order[5, :5]].tolist(),
        }


def approximate_index(folder: Path) -> dict[str, Any]:
    """A thousand clustered vectors with an approximate index, compressed."""
    sys.path.insert(0, str(ROOT))
    from tests.support import approximate

    approximate.DIM = 8
    info = approximate.EncoderInfo("demo", "", "ab" * 32, {"embed_dim": 8}, {"size": 32}, 8, "fp32")
    path = folder / "approximate.h5"
    approximate.save(path, approximate.clustered(1_000), approximate.contents(1_000, info))
    imindex(folder, "optimize", "-i", path.name, "--kind", "ivf-pq", "--memory", "1MB")
    (folder / "approximate.h5.gz").write_bytes(gzip.compress(path.read_bytes(), 9, mtime=0))
    found = known(path)
    path.unlink()
    return found


def arms_index(folder: Path) -> dict[str, Any]:
    """The imitations and controls with arms, one of them blocked, by a manifest that is deleted afterwards."""
    path = HERE / "art/arms.jsonl"
    rows = [
        {"path": "imitations/r1/Ada Example/0.png", "artist": "Ada Example", "arm": "own", "seed": 2**62},
        {"path": "imitations/r1/Ada Example/1.png", "artist": "Zo Invented", "arm": "placebo", "prompt": "by Zo"},
        {"path": "control/0.png", "arm": "nameless"},
        {"path": "works/Bo Sample/3.png", "artist": "Ada Example", "arm": "own", "blocked": "safety filter"},
    ]
    common = {"collection": "r1", "model": "example/model"}
    path.write_text("\n".join(json.dumps({**common, **row}) for row in rows), encoding="utf-8")
    imindex(folder, "build", "../art/works", "-i", "arms.h5", "--kind", "works", "--model", "demo",
            "--precision", "fp32", "--device", "cpu", "--batch-size", "4")  # fmt: skip
    imindex(folder, "build", "../art/arms.jsonl", "-i", "arms.h5", "--device", "cpu", "--batch-size", "4")
    path.unlink()
    with h5py.File(folder / "arms.h5") as file:
        optional = {
            f"{table}/{name}": [value.decode() for value in file[f"{table}/{name}"][:]]
            for table, name in (("items", "arm"), ("items", "model"), ("rejects", "arm"), ("rejects", "blocked"))
        }
    return {**known(folder / "arms.h5"), **optional}


def main() -> None:
    version = sys.argv[1]
    folder = HERE / version
    if sys.argv[2:] == ["--arms"] and folder.exists():  # beside those that there are
        file = folder / "known.json"
        found = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(
            json.dumps({**found, "arms": arms_index(folder)}, indent=1, ensure_ascii=False) + "\n",
            encoding="utf-8",
        )
        return
    folder.mkdir()
    if not (HERE / "art").exists():
        draw()
    time.sleep(3)  # a file has a stamp when it has been at rest
    imindex(folder, "build", "../art/works", "-i", "index.h5", "--kind", "works", "--model", "demo",
            "--precision", "fp32", "--device", "cpu", "--batch-size", "4")  # fmt: skip
    imindex(folder, "build", "../art", "-i", "index.h5", "--device", "cpu", "--batch-size", "4")
    found = {"index": known(folder / "index.h5")}
    if "--approximate" in sys.argv:
        found["approximate"] = approximate_index(folder)
    (folder / "known.json").write_text(
        json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
