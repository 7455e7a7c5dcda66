"""What an index says about its encoder is checked when it is opened, and compared before a picture is decoded."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.preprocess_bounds import MAX_SIDE, preprocess_fault
from imindex.indexer.decode.preprocess import Preprocess
from imindex.indexer.runners import reader
from imindex.indexer.store.index import Index
from tests.support.commands import run
from tests.support.forging import with_encoder

GOOD: dict[str, Any] = {"size": [32, 32], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
BAD = [
    ("size", 9000), ("size", [MAX_SIDE + 1, 32]), ("size", 0), ("size", [32, -1]), ("size", [32, 32, 32]), ("size", []),
    ("size", "32"), ("size", 32.0), ("size", True), ("size", [[32]]), ("size", None), ("size", 10**30),
    ("mean", [0.5, 0.5]), ("mean", [0.5] * 4), ("mean", 0.5), ("mean", "0.5"), ("mean", [0.5, 0.5, None]),
    ("mean", [0.5, 0.5, 1e300]), ("mean", {"0": 1}), ("mean", None),
    ("std", [0.5, 0.5, 0.0]), ("std", [0.5, 0.5, -0.5]), ("std", [0.5, 0.5, 1e-300]), ("std", [True] * 3),
    ("interpolation", "nearest"), ("interpolation", 3), ("resize_mode", "crop"), ("resize_mode", ["shortest"]),
    ("fill_color", 256), ("fill_color", -1), ("fill_color", "red"), ("fill_color", 0.5),
    ("resize_to", 31), ("resize_to", MAX_SIDE + 1), ("resize_to", True), ("resize_to", 40.0), ("resize_to", "40"),
    ("resize_to", [31, 40]), ("resize_to", [40]), ("resize_to", [40, MAX_SIDE + 1]), ("resize_to", [40, 40, 40]),
    ("crop_floor", 1), ("crop_floor", "floor"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD)
def test_index_with_impossible_preprocessing_is_refused(
    name: str, value: object, built: Path, tmp_path: Path
) -> None:
    forged = with_encoder(built, tmp_path / "forged.h5", preprocess={**GOOD, name: value})
    with pytest.raises(ImindexError, match=rf"preprocess has the {name} .*, not "):
        Index(forged)
    with pytest.raises(ImindexError, match=rf"The preprocessing of the encoder has the {name} "):
        Preprocess.from_dict({**GOOD, name: value})
    for command in ("info", "verify"):
        assert "Traceback" not in run(command, "-i", forged, code=1).output


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have_are_refused(
    constant: str, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = float(constant)
    assert preprocess_fault({**GOOD, "mean": [value, 0.0, 0.0]}) and preprocess_fault(
        {**GOOD, "std": [1, value, 1]}
    )
    strict = json.dumps
    with monkeypatch.context() as lax:  # imindex writes no such numbers
        lax.setattr(json, "dumps", lambda *words, **options: strict(*words, **{**options, "allow_nan": True}))
        forged = with_encoder(built, tmp_path / "forged.h5", config={"embed_dim": value})
    with pytest.raises(ImindexError, match=f"config is not JSON: {constant} is not a finite number"):
        Index(forged)


@pytest.mark.parametrize("precision", ["fp8", "", "fp32 ", "FP32", "x" * 5000])
def test_index_with_an_unknown_precision_is_refused(precision: str, built: Path, tmp_path: Path) -> None:
    forged = with_encoder(built, tmp_path / "forged.h5", precision=precision)
    with pytest.raises(ImindexError, match=r"precision is '.{0,40}', which is not one of fp16, bf16, fp32"):
        Index(forged)


def test_settings_of_encoders_are_possible() -> None:
    for settings in (
        GOOD,
        {**GOOD, "size": 32},
        {**GOOD, "interpolation": "bilinear", "resize_mode": "longest"},
        {**GOOD, "resize_to": 36, "crop_floor": True},
        {**GOOD, "size": [32, 24], "resize_mode": "squash", "resize_to": 32},
        {**GOOD, "size": [32, 24], "resize_to": [36, 24]},
    ):
        assert preprocess_fault(settings) == ""
        assert preprocess_fault(Preprocess.from_dict(settings).as_dict()) == ""
    assert preprocess_fault({}, partial=True) == "" != preprocess_fault({})
    assert "resize_to" in preprocess_fault({**GOOD, "resize_to": 40, "resize_mode": "longest"})
    assert math.isfinite(MAX_SIDE)


@pytest.mark.parametrize(
    "fields",
    [
        {"preprocess": {**GOOD, "size": [MAX_SIDE, MAX_SIDE]}},
        {"preprocess": {**GOOD, "mean": [0.25] * 3}},
        {"preprocess": {"size": [32, 32]}},
        {"preprocess": {}},
        {"weights_sha256": "0" * 64},
        {"config": {}},
        {"config": {"embed_dim": 9}},
        {"tokens_sha256": "0" * 64},
    ],
)
def test_build_compares_the_encoder_before_it_decodes(
    fields: dict[str, Any],
    built: Path,
    tiny_model: str,
    tmp_path: Path,
    works: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forged = with_encoder(built, tmp_path / "forged.h5", **fields)
    decoded: list[int] = []
    monkeypatch.setattr(reader, "decode", lambda *_: decoded.append(1))
    new = works({"works/ada": 3}, first_seed=700)
    before = forged.read_bytes()
    for more in (("--model", tiny_model), ("--trust-encoder",)):
        refused = " ".join(run("build", new, "-i", forged, *more, "--device", "cpu", code=1).output.split())
        assert re.search(r"The index was encoded with .* \(index against this: ", refused), refused
    assert decoded == [] and forged.read_bytes() == before and not Path(f"{forged}.parts").exists()


def test_vectors_of_another_length_are_refused(built: Path, tiny_model: str, tmp_path: Path) -> None:
    import numpy as np

    from imindex.indexer.core.provenance import entry
    from imindex.indexer.store.writer import write

    with Index(built) as index:
        contents = replace(index.contents(), encoder=replace(index.encoder, dim=7))
        vectors = np.eye(1, 7, dtype=np.float16).repeat(index.n, axis=0)
        write(
            tmp_path / "forged.h5", contents, [vectors], ann=index.ann(), ann_data=bytes(index.ann_data()),
            entry=entry("imindex build", "", index.root_digest),
        )  # fmt: skip
    for words in (
        ("query", "--text", "Artwork from ada"),
        ("classify", "--no-tests"),
        ("verify", "--replay", 2),
    ):
        said = run(
            *words, "-i", tmp_path / "forged.h5", "--model", tiny_model, "--device", "cpu", code=1
        ).output
        assert "dimensions 7 against 32" in " ".join(said.split())


def test_a_build_without_new_pictures_loads_no_encoder(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imindex.indexer.encoders.load._named", set())
    run("build", built.parent / "art", "-i", built)  # neither --model nor --trust-encoder


def test_where_the_preprocessing_is_from_is_said_in_few_words(built: Path, tmp_path: Path) -> None:
    longest = with_encoder(built, tmp_path / "longest.h5", preprocess_from="a" * 1000)
    with Index(longest) as opened:
        assert opened.encoder.preprocess_from == "a" * 1000
    foreign = with_encoder(built, tmp_path / "foreign.h5", preprocess_from="a" * 3000)
    with pytest.raises(ImindexError, match="preprocess-from has more than 1,000 characters") as caught:
        Index(foreign).close()
    assert "a" * 100 not in str(caught.value)
