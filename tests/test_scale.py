"""docs/scale.md is what scripts/bench/scale_model writes, and the model agrees with arithmetic done another way."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support.places import ROOT

BENCH = ROOT / "scripts" / "bench"


@pytest.fixture
def scale(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("scale_plan")


@pytest.fixture
def page(scale: Any) -> Any:
    return importlib.import_module("scale_page")


def test_the_page_and_its_picture_are_what_the_script_writes(scale: Any, page: Any) -> None:
    figures = scale.read()
    assert (ROOT / "docs" / "scale.md").read_text(encoding="utf-8") == page.page(figures)
    assert (ROOT / "docs" / "scale.svg").read_text(encoding="utf-8") == page.drawing(figures)
    changed = scale.changed(figures, {"driver_while": figures["driver_while"].value / 2})
    assert page.page(changed) != page.page(figures)
    assert page.drawing(changed) != page.drawing(figures)


def test_every_figure_says_where_it_comes_from(scale: Any, page: Any) -> None:
    figures = scale.read()
    text = page.page(figures)
    for key, figure in figures.items():
        assert figure.origin in page.ORIGINS, key
        assert figure.source and figure.what, key
        assert f"| `{key}` |" in text
        if figure.origin == "peer":
            assert not figure.source.startswith("scripts/"), key
        if figure.source.startswith("scripts/"):
            assert (ROOT / figure.source.split()[0]).exists(), figure.source


def test_a_plan_agrees_with_arithmetic_by_hand(scale: Any) -> None:
    """With round figures: 1,000 pictures/s for each GPU, 100 for each core, 10,000 for a driver."""
    values = {
        "gpu_b32": 1_000, "build_ratio": 1, "decode": 100, "node_gpus": 4, "node_cores": 20, "node_gbit": 8,
        "picture_bytes": 100_000, "driver_while": 10_000, "driver_after": 20_000, "driver_bytes": 1_000,
        "driver_memory": 4e9, "shard_rows": 2e6, "ranks": 1e8, "works": 3_600, "per_shard": 1_000, "range_bytes": 1e7,
        "price_get": 5, "query_one": 1e6,
    }  # fmt: skip
    figures = scale.changed(scale.read(), values)
    plan = scale.plan(figures, 10_000_000, "ViT-B-32", 8)
    assert plan.indexes == 5  # of at most 2 M rows
    assert plan.at_once == 4  # 2 nodes with 4 GB, 2 GB for each driver
    assert plan.waves == 2
    # 8 GPUs 8,000/s; 40 cores 4,000/s; 2 x 1 GB/s are 20,000/s; 4 drivers 40,000/s
    assert scale.limits(figures, "ViT-B-32", 8, 4) == {
        "GPUs": 8_000, "decoding": 4_000, "network": 20_000, "driver": 40_000,
    }  # fmt: skip
    assert (plan.rate, plan.limited_by) == (4_000, "decoding")
    assert plan.gpu_hours == pytest.approx(10_000 / 3600)
    assert plan.build_hours == pytest.approx(2_500 / 3600)
    assert plan.finish_hours == pytest.approx(100 / 3600)
    assert plan.total_hours == pytest.approx((2_500 + 2 * 100) / 3600)
    assert plan.driver_bytes_each == 2e9
    assert plan.requests_shards == 100_000  # 10,000 shards of 100 MB in ranges of 10 MB
    assert plan.price_requests_shards == pytest.approx(0.5)
    assert plan.rank_core_hours == pytest.approx(0.1)
    assert plan.vector_bytes == 10_000_000 * 1024


@pytest.mark.parametrize("encoder", ["ViT-B-32", "ViT-L-14"])
def test_one_driver_is_at_its_limit_with_as_many_gpus_as_stated(scale: Any, encoder: str) -> None:
    figures = scale.read()
    gpus = scale.saturation(figures, encoder)["driver"]
    below, above = (scale.limits(figures, encoder, round(gpus * share)) for share in (0.9, 1.2))
    assert below["GPUs"] < below["driver"]
    assert above["GPUs"] > above["driver"]


def test_doubling_a_cost_never_makes_a_plan_quicker(scale: Any) -> None:
    base = scale.plan(scale.read(), 5 * 10**9, "ViT-B-32")
    rows = scale.sensitivity(scale.read(), 5 * 10**9, "ViT-B-32")
    assert {one.figure for one in rows} == {"gpu_b32", *scale.SENSITIVE} - {"gpu"}
    for one in rows:
        costs_less = one.factor < 1 if one.figure.endswith("bytes") else one.factor > 1
        if costs_less:
            assert one.total_hours <= base.total_hours, one
        else:
            assert one.total_hours >= base.total_hours, one


def test_the_script_prints_80_columns_and_the_same_as_json() -> None:
    def run(*words: str) -> str:
        command = [sys.executable, str(BENCH / "scale_model"), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert max(map(len, run("--set", "gpu_b32=1234").splitlines())) <= 80
    result = json.loads(run("--json", "--set", "gpu_b32=1225", "--set", "build_ratio=1"))
    assert result["plans"][0]["rate"] == 1225
    assert result["figures"]["gpu_b32"]["value"] == 1225
