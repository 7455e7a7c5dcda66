"""Build with encoders of another instruction set on a private cluster: refused, then admitted; print what was told."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from imindex.indexer.build.build import build
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import kinds_of
from imindex.indexer.decode.limits import Limits
from imindex.indexer.encoders.lazy import encoder_for
from imindex.indexer.runners.base import Place
from imindex.indexer.runners.cluster import connect
from imindex.indexer.runners.ray import ray_runner
from imindex.indexer.sources.find import find
from imindex.indexer.store.index import Index

OTHER = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}


def main(pictures: Path, index: Path) -> None:
    items, error = list(find([pictures])), ""
    with connect(cpus=1) as cluster:
        for allowed in (False, True):
            encoder = encoder_for(index, model="demo", device="cpu", batch_size=8)
            place = Place("ray", allow_mixed=allowed)
            with ray_runner(cluster, place, encoder, Limits(), environment=OTHER) as runner:
                try:
                    build(items, index, encoder, runner=runner)
                except ImindexError as refused:
                    error = str(refused)
    with Index(index) as built:
        print(json.dumps({"error": error, "kinds": kinds_of(built.log()), "rows": built.n}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
