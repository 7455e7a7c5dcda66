"""What a report says of an audit beside what was found: the plan, the encoders, the releases, the rejects."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imindex.indexer.store.index import Index
from imindex.retrieval.audit.inputs import Inputs
from imindex.retrieval.audit.made import Made
from imindex.retrieval.audit.plan import EncoderSpec, Plan
from imindex.retrieval.audit.register import changed


def asked(plan: Plan, inputs: Inputs, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The plan, and how it came to stand in the register."""
    asks = any(one.model for one in plan.releases)
    return {
        "digest": plan.digest,
        "text": plan.text,
        "registered": entries[0]["when"],
        "first_digest": entries[0]["plan"],
        "registered_late": entries[0]["event"] != "registered",
        "inputs": dict(inputs.digests),
        "amendments": [
            {
                "when": after["when"],
                "why": after["why"],
                "from": before["plan"],
                "to": after["plan"],
                "inputs": changed(before["inputs"], after["inputs"]),
            }
            for before, after in itertools.pairwise(entries)
        ],
        "artists": list(plan.tested),
        "background": list(inputs.background),
        "templates": list(plan.prompts.templates) if asks else [],
        "label_templates": list(plan.label_templates),
        "per_artist": plan.prompts.per_artist if asks else None,
        "tests": {
            "level": plan.tests.level,
            "adjust": plan.tests.adjust,
            "n_resamples": plan.tests.n_resamples,
            "confidence_level": plan.tests.confidence_level,
            "seed": plan.seed,
        },
        "seed": plan.seed,
        "labels": list(plan.tests.labels),
        "copy_threshold": plan.tests.copies,
    }


def encoder_of(encoder: EncoderSpec, path: Path) -> dict[str, Any]:
    """An encoder, and the index that it made."""
    with Index(path) as index:
        info, root = index.encoder, index.root_digest
    return {
        "name": encoder.name,
        "model": f"{encoder.model}{'/' + encoder.pretrained if encoder.pretrained else ''}",
        "precision": info.precision,
        "weights_sha256": info.weights_sha256,
        "root_digest": root,
        "index": path.name,
    }


def release_of(made: Made, inputs: Inputs) -> dict[str, Any]:
    """A release, and how many pictures it has of which kind."""
    placebos = set(inputs.placebos[made.release.name])
    kinds = [item.kind for item in made.items]
    return {
        "name": made.release.name,
        "source": "generated" if made.release.model else "pictures",
        "model": made.release.model or made.release.pictures,
        "revision": made.revision,
        "digest": made.digest,
        "settings": made.settings,
        "text_encoders": made.text_encoders,
        "n_imitations": kinds.count("imitations"),
        "n_placebo_names": len(placebos),
        "n_placebo_pictures": sum(item.artist in placebos for item in made.items),
        "n_controls": kinds.count("control"),
        "blocked": made.blocked,
    }


def rejects(built: Sequence[Path]) -> list[dict[str, str]]:
    """Pictures that could not be read; the same ones for every encoder."""
    with Index(built[0]) as index:
        rejects = index.rejects()
        return [
            {"path": path, "reason": reason}
            for path, reason in zip(rejects["path"], rejects["reason"], strict=True)
        ]
