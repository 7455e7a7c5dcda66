"""Write tar shards as img2dataset, webdataset and GNU tar write them."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from PIL import Image

EXIF = {"Image Make": "Example", "Image Orientation": "Horizontal (normal)"}


def picture(number: int, form: str = "JPEG") -> bytes:
    """Return a small picture, another one for each number."""
    blocks = np.random.default_rng(number).integers(0, 255, (4, 4, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(blocks.repeat(8, 0).repeat(8, 1)).save(buffer, form)
    return buffer.getvalue()


def write_tar(path: Path, members: Iterable[tuple[str, bytes]], format: int = tarfile.GNU_FORMAT) -> Path:
    """Write a tar file of members in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as file:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def gnu_tar(path: Path, folder: Path, *options: str, names: Sequence[str] = (".",)) -> Path:
    """Write a tar file of a folder by GNU tar."""
    subprocess.run(["tar", *options, "-cf", path, "-C", folder, *names], check=True, capture_output=True)
    return path


def img2dataset(
    folder: Path,
    *,
    shards: int = 2,
    each: int = 4,
    order: Callable[[int], int] = lambda n: n,
    columns: Callable[[int], Mapping[str, Any]] = lambda number: {},
    in_json: bool = True,
    files: bool = False,
) -> list[bytes]:
    """Write what img2dataset leaves, and return the pictures in the order of their keys.

    The last row of each shard failed. `order` gives the key by which members and rows are ordered, which is that of
    the download. `columns` gives further columns by the number of the picture, also in the `.json` if `in_json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for shard in range(shards):
        rows, members = [], []
        for place in range(each + 1):
            number, key = shard * each + place, f"{shard:05}{place:04}"
            row = {
                "caption": f"picture {key}", "url": f"https://me:secret@example.org/{key}.jpg?token=s3cret&id={number}",
                "key": key, "status": "success", "error_message": None, "width": 32, "height": 32,
                "original_width": 640, "original_height": 480, "exif": json.dumps(EXIF), "sha256": "ab" * 32,
            }  # fmt: skip
            if place == each:
                failed = {"status": "failed_to_download", "error_message": "HTTP Error 404: Not Found"}
                rows.append((place, {**row, **failed, **columns(number)}))
                continue
            rows.append((place, {**row, **columns(number)}))
            pictures.append(picture(number))
            own = {**row, **(columns(number) if in_json else {})}
            members.append(
                (
                    place,
                    [
                        ("jpg", pictures[-1]),
                        ("json", json.dumps(own).encode()),
                        ("txt", row["caption"].encode()),
                    ],
                )
            )
        by_order: Callable[[tuple[int, Any]], int] = lambda pair: order(pair[0])  # noqa: E731
        listed = [
            (f"{shard:05}{place:04}.{suffix}", data)
            for place, group in sorted(members, key=by_order)
            for suffix, data in group
        ]
        if files:
            (folder / f"{shard:05}").mkdir()
            for name, data in listed:
                (folder / f"{shard:05}" / name).write_bytes(data)
        else:
            write_tar(folder / f"{shard:05}.tar", listed)
        table = pa.Table.from_pylist([row for _, row in sorted(rows, key=by_order)])
        pyarrow.parquet.write_table(table, folder / f"{shard:05}.parquet")
        stats = {
            "count": each + 1,
            "successes": each,
            "status_dict": {"success": each, "HTTP Error 404: Not Found": 1},
        }
        (folder / f"{shard:05}_stats.json").write_text(json.dumps(stats))
    return pictures
