"""What commands show in a real terminal (tmux), and an index of artists whose names are hard to show."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from imindex.indexer.ann import exact as ann
from imindex.indexer.core.schema import Collection, Contents, EncoderInfo, item_columns, reject_columns
from imindex.indexer.store.writer import write
from tests.support.invented_index import unit

TMUX = shutil.which("tmux")
needs_tmux = pytest.mark.skipif(
    TMUX is None, reason="tmux, a terminal to run in, is missing (apt-get install tmux)"
)

HARD_NAMES = (
    "Maximiliane Alexandrine von Hohenstein-Lichtenberg the Elder",
    "Maximiliane Alexandrine von Hohenstein-Lichtenberg the Younger",
    "\u845b\u98fe\u5317\u658e\u70ba\u4e00\u753b\u72c2\u8001\u4eba\u4e8c\u4e16\u9580\u4eba\u5c0f\u5ddd\u753a",
    "\u845b\u98fe\u5317\u658e\u70ba\u4e00\u753b\u72c2\u8001\u4eba\u4e8c\u4e16\u9580\u4eba\u5927\u5ddd\u753a",
    "Ada Example",
    "Zoe\u0308 E\u0301mile \U0001f3a8 Du\u0303ng",
    "\ud64d\uae38\ub3d9 \uae40\ucca0\uc218 \ubc15\uc601\ud76c \uc774\uc21c\uc2e0",
    "Master of the Legend of 1487 and of the Polyptych of 1492, left wing, second panel from above",
    "Master of the Legend of 1487 and of the Polyptych of 1493, left wing, second panel from above",
    "[bold]=1+1, \"quoted\"\x1b[31m\ttab",
)  # fmt: skip
"""Long, alike, wide, with combining marks, and with control characters."""


def names(n: int) -> list[str]:
    """Names of artists: the hard ones first, then plain ones."""
    return [*HARD_NAMES[:n], *(f"Painter {number:03d} of Somewhere" for number in range(n - len(HARD_NAMES)))]


def index_of(path: Path, artists: Sequence[str], *, n_placebos: int = 19, seed: int = 0) -> Path:
    """Write an index of random vectors: works, two releases with placebo names, background, rejects, duplicates."""
    random = np.random.default_rng(seed)
    everybody = [*artists, *(f"placebo {number:03d}" for number in range(n_placebos))]
    centres = random.standard_normal((len(everybody), 16))
    rows: list[tuple[int, int, str, int]] = []
    for artist in range(len(artists)):
        rows += [(artist, 0, "", -1)] * 8 + [(artist, 1, "", -1)]
    for collection in (2, 3):
        for artist in range(len(everybody)):
            rows += [(artist, collection, f"prompt {k // 2} of {artist}", k) for k in range(6)]
    strength = np.array(
        [0.2 if collection == 3 else 0.7 if collection == 2 else 1.0 for _, collection, _, _ in rows]
    )
    near = np.where(np.array([row[0] for row in rows]) % 3 == 0, 1.0, 0.15) * strength
    near[[row[1] < 2 for row in rows]] = 1.0
    noise = random.standard_normal((len(rows), 16))
    vectors = unit(near[:, None] * centres[[row[0] for row in rows]] + noise)
    items = [
        {
            "artist": artist, "collection": collection, "sha256": random.bytes(32) if k % 7 else bytes([artist]) * 32,
            "path": f"{('works', 'background', 'imitations/r1', 'imitations/r2')[collection]}/folder of "
            f"{everybody[artist]}/{k:05d}.png".replace("\x1b", ""),
            "width": 8, "height": 8, "prompt": prompt, "seed": seed_, "caption": "",
        }
        for k, (artist, collection, prompt, seed_) in enumerate(rows)
    ]  # fmt: skip
    reason = (
        "cannot be decoded: broken data stream after 1,234,567 of 2,345,678 bytes, about 53 % of the picture"
    )
    rejects = [
        {
            "artist": k % len(artists), "collection": k % 4, "sha256": random.bytes(32),
            "path": f"works/broken/{k:05d}.jpg", "reason": reason,
        }
        for k in range(3)
    ]  # fmt: skip
    collections = (
        Collection("works", "works"), Collection("background", "background"),
        Collection("release-2.0", "imitations"), Collection("release-2.1", "imitations"),
    )  # fmt: skip
    contents = Contents(
        EncoderInfo("invented-model-with-a-name", "", "ab" * 32, {"embed_dim": 16}, {"size": 32}, 16, "fp32"),
        everybody, collections, item_columns(items), reject_columns(rejects),
        created_at="2026-01-01T00:00:00+00:00", created_by="imindex test",
    )  # fmt: skip
    header = ann.exact_header(len(rows), 16)
    entry = {
        "when": "2026-01-01T00:00:00+00:00", "who": "ada@studio", "command": "imindex build . -i audit.h5",
        "versions": '{"imindex": "0.1.0", "numpy": "2.0.0", "torch": "2.7.0"}', "summary": "build: rows added",
        "digest-before": "",
    }  # fmt: skip
    write(path, contents, iter([vectors]), ann=ann.describe(), ann_data=header, entry=entry)
    return path


DRIVER = """
import contextlib, json, pathlib, subprocess, sys, time
from imindex import main

tmux, folder, widths, commands = json.loads(sys.argv[1])
folder = pathlib.Path(folder)

def screen(*words):
    return subprocess.run([*tmux, *words], check=True, capture_output=True, text=True).stdout

def width():
    return int(screen("display-message", "-p", "#{pane_width}"))

for wanted in widths:
    screen("resize-window", "-x", str(wanted))
    while width() != wanted:
        time.sleep(0.01)
    shown = []
    for words in commands:
        sys.stdout.write(chr(27) + "[2J" + chr(27) + "[3J" + chr(27) + "[H")
        sys.stdout.flush()
        screen("clear-history")
        with contextlib.suppress(SystemExit):
            main(words)
        print("\u29c9", flush=True)
        while "\u29c9" not in (text := screen("capture-pane", "-p", "-J", "-S", "-")):
            time.sleep(0.01)
        shown.append(text.partition("\u29c9")[0])
    (folder / f"{wanted}.part").write_text(json.dumps(shown))
    (folder / f"{wanted}.part").rename(folder / f"{wanted}.json")
"""


def shown_in(
    widths: Sequence[int], commands: Sequence[Sequence[object]], folder: Path
) -> dict[int, list[list[str]]]:
    """Run command lines of imindex in a terminal of each width, in one process in `folder`; return the lines of each.

    Lines that the terminal had to break are joined again, so that they are longer than it is wide.
    """
    tmux = [str(TMUX), "-u", "-f", os.devnull, "-S", str(folder / "tmux")]
    script, told = folder / "driver.py", [folder / f"{width}.json" for width in widths]
    script.write_text(DRIVER, encoding="utf-8")
    for file in told:
        file.unlink(missing_ok=True)
    lines = [[str(word) for word in words] for words in commands]
    environment = {
        **os.environ, "LC_ALL": "C.UTF-8", "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    for variable in ("COLUMNS", "LINES", "NO_COLOR", "TERM_PROGRAM", "KITTY_WINDOW_ID", "LC_TERMINAL"):
        environment.pop(variable, None)
    words = shlex.join([sys.executable, str(script), json.dumps([tmux, str(folder), list(widths), lines])])
    errors = folder / "died"
    errors.unlink(missing_ok=True)
    line = f"{words} || touch {shlex.quote(str(errors))}"
    subprocess.run(
        [*tmux, "start-server", ";", "set-option", "-g", "history-limit", "20000", ";",
         "set-option", "-g", "status", "off", ";",
         "new-session", "-d", "-x", str(widths[0]), "-y", "50", line],
        check=True, env=environment, cwd=folder, capture_output=True,
    )  # fmt: skip
    due = time.monotonic() + 300
    try:
        while not all(file.exists() for file in told):
            assert time.monotonic() < due and not errors.exists(), "the commands did not end"
            time.sleep(0.05)
    finally:
        subprocess.run([*tmux, "kill-server"], capture_output=True, check=False)
    return {
        width: [
            [line.rstrip() for line in text.strip("\n").split("\n")] for text in json.loads(file.read_text())
        ]
        for width, file in zip(widths, told, strict=True)
    }
