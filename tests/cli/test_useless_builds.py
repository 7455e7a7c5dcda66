"""A build that can come to nothing says so: before it encodes where that is possible, and with exit code 1."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from imindex.indexer.build.build import build
from imindex.indexer.core.bounds import MAX_NAME
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.maintain.remove import remove
from imindex.indexer.sources.find import find
from imindex.retrieval import api
from imindex.retrieval.audit.plan import read_plan
from tests.support.builds import Counting
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
        f"Error: All 4 pictures were rejected: empty file (3, such as {folder / 'empty 0.png'}); not a picture in any "
        f"format that Pillow opens ({folder / 'text.png'}). {tmp_path / 'i.h5'} was not written, because it would have "
        "no rows." in result.stderr.replace("\n", " ")
    )
    assert not list(tmp_path.glob("*i.h5*"))  # nor anything beside it
    result = run("build", tmp_path / "works", *words, "--json", code=1)
    assert "All 4 pictures were rejected" in result.stderr and not result.stdout
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


def test_a_manifest_of_pictures_that_are_not_there_is_an_error(
    words: tuple[object, ...], tmp_path: Path
) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("path;artist;kind\npics/a.png;Ada;works\npics/b.png;Ada;works\n")
    result = run("build", manifest, *words, code=1)
    said = " ".join(result.stderr.split())
    assert "All 2 pictures were rejected: cannot be read: No such file" in said and "pics/a.png)" in said
    assert "Check the paths: those of a manifest are relative to it." in said
    assert not list(tmp_path.glob("*i.h5*"))


def test_an_index_is_not_left_without_rows(words: tuple[object, ...], tmp_path: Path) -> None:
    """Pruning the last rows, or adding rejects to no rows, changes nothing."""
    for name in ("Ada", "Bo"):
        (tmp_path / "art" / name).mkdir(parents=True)
    picture(1).save(tmp_path / "art/Ada/a.png")
    (tmp_path / "art/Bo/b.png").write_bytes(b"no picture")
    run("build", tmp_path / "art", "--kind", "works", *words)
    before = (tmp_path / "i.h5").read_bytes()
    only = ("build", tmp_path / "art/Bo", "--kind", "works", "--artist", "Bo", "--prune", "--yes")
    result = run(*only, *words, code=1)
    assert f"{tmp_path / 'i.h5'} is unchanged, because it would have no rows." in " ".join(
        result.stderr.split()
    )
    assert (tmp_path / "i.h5").read_bytes() == before and not list(tmp_path.glob("*.parts"))


def test_pictures_of_other_sources_survive_a_useless_build(
    tiny_encoder: Encoder, tmp_path: Path, works: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part files of an interrupted build are kept; only the rejects of the useless one are dropped."""
    items, counting = list(find([works({"works/ada": 2})])), Counting(tiny_encoder, 1)
    with monkeypatch.context() as patch:
        patch.setattr(
            "imindex.indexer.build.build.merge", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            build(items, tmp_path / "i.h5", counting)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(ImindexError, match=r"The only picture was rejected: not a picture"):
        build([replace(items[0], path=str(tmp_path / "bad.png"))], tmp_path / "i.h5", counting)
    report = build(items, tmp_path / "i.h5", counting)
    assert (report.rows, report.resumed, counting.count) == (2, 2, 2)


def test_an_index_without_rows_holds_no_pictures(
    words: tuple[object, ...], tiny_model: str, tmp_path: Path
) -> None:
    (tmp_path / "art/Ada").mkdir(parents=True)
    picture(1).save(tmp_path / "art/Ada/a.png")
    run("build", tmp_path / "art", "--kind", "works", *words)
    remove(tmp_path / "i.h5", artists=["Ada"])
    asked = ("--model", tiny_model, "--device", "cpu")
    for command in (
        ("query", "--text", "red", *asked), ("query", tmp_path / "art/Ada/a.png", "--collection", "works", *asked),
        ("classify", "--by", "works"), ("match",), ("match", "--collection", "r1"),
    ):  # fmt: skip
        said = " ".join(run(*command, "-i", tmp_path / "i.h5", code=1).stderr.split())
        assert f"{tmp_path / 'i.h5'} holds no pictures: there is nothing to search or test." in said
