"""Decode broken pictures as a build does, in this process, which may crash.

    python -m tests.support.fuzz SEED SECONDS COUNT FOLDER [jpeg]

The picture being decoded is in FOLDER/now, where it can be found after a crash. Any exception except BadPicture ends
the run. With `jpeg`, only pictures that a build decodes in its own process; otherwise only those for decoder processes.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from imindex.indexer.core.errors import BadPicture
from imindex.indexer.core.preprocess_bounds import COLORS, TRUNCATED
from imindex.indexer.decode import pillow as rgb
from imindex.indexer.decode.jpeg import is_plain_jpeg
from imindex.indexer.decode.limits import Limits
from imindex.indexer.decode.rendering import Rendering
from tests.support.mutations import mutations

HANG = 30


def main(seed: int, seconds: float, count: int, folder: Path, jpeg: bool) -> None:
    limits = Limits(max_pixels=20_000_000)
    if jpeg:
        from imindex.indexer.decode.preprocess import Preprocess, decode

        preprocess = Preprocess((32, 32), (0.5,) * 3, (0.5,) * 3)
    until, done, fine, slowest = time.monotonic() + seconds, 0, 0, 0.0
    for number, (name, data) in enumerate(mutations(seed)):
        if done == count or time.monotonic() > until:
            break
        if is_plain_jpeg(data) != jpeg:
            continue
        (folder / "now").write_bytes(data)
        (folder / "name").write_text(f"{name}, seed {seed}, number {number}")
        signal.alarm(HANG)
        started = time.monotonic()
        try:
            if jpeg:
                settings = replace(preprocess, color=COLORS[number % 2], truncated=TRUNCATED[number // 2 % 2])
                fine += decode(data, settings, limits=limits, elsewhere=_no_picture).width > 0
            else:
                rendering = Rendering(COLORS[number % 2], TRUNCATED[number // 2 % 2])
                fine += rgb.read(data, limits, rendering).mode == "RGB"
        except BadPicture as error:
            assert str(error)
        finally:
            signal.alarm(0)
        slowest = max(slowest, time.monotonic() - started)
        done += 1
    print(json.dumps({"decoded": done, "fine": fine, "slowest": slowest}))


def _no_picture(_: bytes, bytes_per_pixel: int, rendering: Rendering) -> NoReturn:
    raise BadPicture("a plain JPEG whose mode or rotation is for Pillow, which the other run is about")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), sys.argv[5:] == ["jpeg"])
