"""The command `imindex`, which commits each batch at once, and gives up silent workers soon."""

from __future__ import annotations

import sys
from dataclasses import replace

from imindex.__main__ import run
from imindex.indexer.build import build
from imindex.indexer.runners import ray

build.COMMIT_SECONDS = 0.0
_real = ray.ray_runner
_SILENCE = float(sys.argv.pop(1))


def ray_runner(*arguments, **options):  # type: ignore[no-untyped-def]
    patience = replace(ray.Patience(), beat=0.5, silence=_SILENCE)
    return _real(*arguments, patience=patience, **options)


ray.ray_runner = ray_runner  # type: ignore[assignment]

if __name__ == "__main__":
    run()
