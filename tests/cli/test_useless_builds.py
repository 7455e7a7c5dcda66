"""A build that can come to nothing says so: before it encodes where that is possible, and with exit code 1."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from imindex.indexer.core.bounds import MAX_NAME
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.store.index import Index
from imindex.retrieval import api
from imindex.retrieval.audit.plan import read_plan
from tests.support.commands import run
from tests.support.pictures import picture


@pytest.fixture
def words(tiny_model: str, tmp_path: Path) -> tuple[object, ...]:
    return ("-i", tmp_path / "i.h5", "--model", tiny_model, "--device", "cpu")


def test_a_build_whose_pictures_were_all_rejected_fails_with_the_reasons(
    words: tuple[object, ...], tmp_path: Path
) -> None:
    folder = tmp_path / "works/Ada Example"
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"empty {number}.png").write_bytes(b"")
    (folder / "text.png").write_bytes(b"no picture")
    result = run("build", tmp_path / "works", *words, code=1)
    assert (
        "Error: All 4 pictures were rejected: empty file (3); not a picture in any format that Pillow opens (1). "
        f"`imindex info --rejects -i {tmp_path / 'i.h5'}` lists them." in result.stderr.replace("\n", " ")
    )
    with Index(tmp_path / "i.h5") as index:  # they are recorded all the same
        assert (index.n, len(index.rejects()["reason"])) == (0, 4)
    assert (
        "All 4 pictures were rejected" in run("build", tmp_path / "works", *words, code=1).stderr
    )  # and again
    result = run("build", tmp_path / "works", *words, "--json", code=1)
    assert json.loads(result.stdout)["reasons"][0] == ["empty file", 3]
    picture(1).save(folder / "good.png")
    assert "Encoded 1 picture (0 unchanged, 4 rejected)" in run("build", tmp_path / "works", *words).stdout
    assert "Encoded 0 pictures (1 unchanged, 4 rejected)" in run("build", tmp_path / "works", *words).stdout
    more = tmp_path / "more/Bo Sample"
    more.mkdir(parents=True)
    (more / "empty.png").write_bytes(b"")
    result = run(
        "build", tmp_path / "more", "--kind", "works", *words, code=1
    )  # a source of nothing, and old rows
    assert "Error: The only picture was rejected: empty file (1)." in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"artist": "x" * (MAX_NAME + 1)}, "The name of the artist 'xxx"),
        ({"collection": "x" * 70_000}, "The name of the collection 'xxx"),
        ({"index": "x" * 251 + ".h5"}, "The name of the index, xxxx"),
        ({"index": "日" * 84 + ".h5"}, "The name of the index, 日日"),
    ],
    ids=["artist", "collection", "index", "index in bytes"],
)
def test_a_name_that_is_too_long_is_told_before_the_encoder_is_loaded(
    options: dict[str, str],
    message: str,
    works: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = works({"ada": 1})
    monkeypatch.setattr(
        "imindex.indexer.build.from_sources.encoder_for", lambda *_, **__: pytest.fail("loaded")
    )
    index = tmp_path / options.pop("index", "i.h5")
    with pytest.raises(ImindexError) as refused:
        api.build(root, index, kind="imitations", **{"collection": "r1", **options})  # type: ignore[arg-type]
    assert message in str(refused.value) and len(str(refused.value)) < 300
    assert not list(tmp_path.glob("*.parts"))


def test_a_prompt_of_a_manifest_is_bounded_as_well(works: Callable[..., Path], tmp_path: Path) -> None:
    root = works({"ada": 1})
    line = {"path": "ada/000.png", "artist": "ada" * 400, "kind": "imitations", "collection": "r1"}
    (root / "m.jsonl").write_text(json.dumps(line))
    with pytest.raises(
        ImindexError, match=r"The name of the artist 'adaada.* has 1,200 characters, more than 1,000"
    ):
        api.build(root / "m.jsonl", tmp_path / "i.h5", model="demo")


def test_a_plan_bounds_its_names(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    text = (
        '[artists]\ntested = ["{}"]\n[[releases]]\nname = "{}"\nmodel = "m"\n[[encoders]]\nmodel = "demo"\n'
    )
    plan.write_text(text.format("Ada", "r" * 1001))
    with pytest.raises(
        ImindexError, match=r"releases\[1\]\.name is 'r{59}\.\.\.\. Write a text in quotes, of at most"
    ):
        read_plan(plan)
    plan.write_text(text.format("A" * 1001, "r"))
    with pytest.raises(ImindexError, match=r"artists\.tested: The name 'A+'\.\.\. has 1,001 characters"):
        read_plan(plan)
