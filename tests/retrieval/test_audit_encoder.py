"""The encoder of an audit's index is the one that the plan names, on every run and when the audit is verified."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imindex.indexer.ann import exact
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.encoders.load import load
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import write
from tests.support.audits import change, run_plan
from tests.support.commands import run
from tests.support.models import save_model

pytestmark = pytest.mark.usefixtures("one_thread")


def rewrite(
    path: Path, change: Callable[[EncoderInfo], EncoderInfo], vectors: np.ndarray | None = None
) -> None:
    """Write an index with another record of its encoder, and right digests."""
    with Index(path) as index:
        contents, own = index.contents(), np.array(index.vectors)
    log, last = contents.log[:-1], contents.log[-1]
    last = {key: value for key, value in last.items() if key != "digest-after"}
    write(
        path, replace(contents, encoder=change(contents.encoder), log=log), [own if vectors is None else vectors],
        ann=exact.describe(), ann_data=exact.exact_header(*own.shape), entry=last,
    )  # fmt: skip


@pytest.mark.parametrize("renamed", [False, True])
def test_an_index_of_another_encoder_is_refused(done: Path, renamed: bool, tmp_path: Path) -> None:
    """It states the other encoder, or it claims the plan's name."""
    index = next((done / "audit").glob("*.h5"))
    other = load(f"local-dir:{save_model(tmp_path / 'other', seed=9)}", device="cpu").info
    with Index(index) as opened:
        own, vectors = opened.encoder, np.array(opened.vectors)[::-1]
    forged = replace(other, model=own.model, precision=own.precision) if renamed else other
    rewrite(index, lambda _: forged, vectors)
    with pytest.raises(
        ImindexError, match=r"was made by another encoder than tiny of .*Move that index away"
    ):
        run_plan(done)
    result = run(
        "verify", "--results", done / "audit", "--plan", done / "plan.toml", "--device", "cpu", code=3
    )
    assert "was made by another encoder than tiny of" in result.stdout
    index.unlink()
    assert run_plan(done).report.encoders[0].weights_sha256 == own.weights_sha256


def test_an_index_of_another_precision_than_the_plans_is_refused(done: Path) -> None:
    change(done, "[tests]", 'precision = "fp32"\n[tests]')
    run_plan(done, amend="the precision")
    index = max((done / "audit").glob("*.h5"), key=lambda path: path.stat().st_mtime)
    rewrite(index, lambda info: replace(info, precision="bf16"))
    with pytest.raises(ImindexError, match=r"was made by another encoder .*precision bf16 against fp32"):
        run_plan(done)


def test_the_same_encoder_in_another_folder_is_accepted(done: Path, tiny_model: str, tmp_path: Path) -> None:
    """A folder that was handed over: the paths in the plan are relative, and those in the index are of another disk."""
    shutil.copytree(tiny_model.removeprefix("local-dir:"), done / "encoder")
    change(done, tiny_model, "local-dir:encoder")
    before = run_plan(done, amend="the folder").report
    moved = done.rename(tmp_path / "moved")
    after = run_plan(moved).report
    assert after.digest == before.digest
    save_model(moved / "encoder", seed=9)
    with pytest.raises(ImindexError, match="was made by another encoder"):
        run_plan(moved)


def test_the_report_prints_what_the_index_records(done: Path, tiny_model: str) -> None:
    (encoder,) = json.loads((done / "audit/report.json").read_text())["encoders"]
    with Index(next((done / "audit").glob("*.h5"))) as index:
        info = index.encoder
    assert encoder["model"] == info.short_name() == f"local-dir:{Path(tiny_model).name}"
    assert encoder["weights_sha256"] == info.weights_sha256


@pytest.mark.parametrize(
    ("model", "pretrained", "shown"),
    [
        ("ViT-B-32", "openai", "ViT-B-32/openai"),
        ("hf-hub:org/repo", "", "hf-hub:org/repo"),
        ("local-dir:/home/someone/weights", "", "local-dir:weights"),
        ("/home/someone/config.json", "/home/someone/w.safetensors", "config.json/w.safetensors"),
        ("demo", "", "demo"),
        ("transformers:/home/someone/dinov2?pooling=mean", "", "transformers:dinov2?pooling=mean"),
        ("timm:local-dir:/home/someone/vit", "", "timm:local-dir:vit"),
        ("transformers:org/repo", "", "transformers:org/repo"),
        ("csd", "/home/someone/csd.bin", "csd/csd.bin"),
    ],
)  # fmt: skip
def test_a_report_names_no_folder_of_an_encoder(model: str, pretrained: str, shown: str) -> None:
    assert EncoderInfo(model, pretrained, "", {}, {}, 1, "fp32").short_name() == shown
