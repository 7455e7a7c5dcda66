"""Forged evidence with right digests: `verify --results` compares it with the pictures, the register and the runs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imindex.indexer.ann import exact
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.provenance import entry
from imindex.indexer.core.schema import Contents
from imindex.indexer.integrity.verify import verify
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import write
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.recompute import recompute
from imindex.retrieval.audit.run import Compute, Run, Workspace
from imindex.retrieval.evidence.looks import Looks
from imindex.retrieval.report.page import n_pictures, page
from imindex.retrieval.report.thumbnails import Thumbnails
from imindex.retrieval.results import Report, from_json
from imindex.retrieval.results.report_digest import digest
from tests.support.commands import run
from tests.support.pictures import picture

pytestmark = pytest.mark.usefixtures("one_thread")
Columns = dict[str, np.ndarray]
EARLY = "2019-01-01T00:00:00+00:00"


def forge(root: Path, change: Callable[[Contents, np.ndarray], tuple[Contents, np.ndarray]]) -> Path:
    """Rewrite the index with right digests, and the report so that it names the new root digest."""
    path = next((root / "audit").glob("*.h5"))
    with Index(path) as index:
        contents, vectors = index.contents(), np.array(index.vectors)
    contents, vectors = change(contents, vectors)
    how = {"ann": exact.describe(), "ann_data": exact.exact_header(*vectors.shape)}
    made = entry("imindex build", "build", contents.log[-1]["digest-after"])
    made = write(path, contents, [vectors], entry=made, **how)
    edit(root, lambda report: report["encoders"][0].update(root_digest=made))
    return path


def edit(root: Path, change: Callable[[Any], object]) -> None:
    """Edit the report and give it the digest that fits."""
    path = root / "audit/report.json"
    report = json.loads(path.read_text())
    change(report)
    path.write_text(json.dumps({**report, "digest": digest(report)}))


def faults(root: Path) -> list[str]:
    again = recompute(
        Run(read_plan(root / "plan.toml"), Workspace(root / "audit", keeps=False), Compute("cpu"))
    )
    return [f"{fault.where}: {fault.said}" for fault in again.faults]


def pick(contents: Contents, kind: str, artist: str = "") -> int:
    """The first row of a kind and an artist."""
    kinds = [one.kind for one in contents.collections]
    rows = zip(contents.items["artist"].tolist(), contents.items["collection"].tolist(), strict=True)
    return next(
        row for row, (number, place) in enumerate(rows)
        if kinds[place] == kind and (not artist or contents.artists[number] == artist)
    )  # fmt: skip


def copied(contents: Contents) -> Columns:
    return {name: values.copy() for name, values in contents.items.items()}


def other_artist(contents: Contents, vectors: np.ndarray) -> tuple[Contents, np.ndarray]:
    items = copied(contents)
    items["artist"][pick(contents, "imitations", "Ada Example")] = contents.artists.index("Bo Sample")
    return dataclasses.replace(contents, items=items), vectors


def other_kind(contents: Contents, vectors: np.ndarray) -> tuple[Contents, np.ndarray]:
    items = copied(contents)
    items["collection"][pick(contents, "imitations", "Ada Example")] = items["collection"][
        pick(contents, "works")
    ]
    return dataclasses.replace(contents, items=items), vectors


def other_prompt(contents: Contents, vectors: np.ndarray) -> tuple[Contents, np.ndarray]:
    items = copied(contents)
    items["prompt"][pick(contents, "imitations")] = "A painting"
    return dataclasses.replace(contents, items=items), vectors


def other_seed(contents: Contents, vectors: np.ndarray) -> tuple[Contents, np.ndarray]:
    items = copied(contents)
    items["seed"][pick(contents, "imitations")] += 1
    return dataclasses.replace(contents, items=items), vectors


def other_bytes(contents: Contents, vectors: np.ndarray) -> tuple[Contents, np.ndarray]:
    items = copied(contents)
    items["sha256"][pick(contents, "works")] = 7
    return dataclasses.replace(contents, items=items), vectors


def hidden(contents: Contents, vectors: np.ndarray) -> tuple[Contents, np.ndarray]:
    """A picture that the forger does not like becomes a reject."""
    row = pick(contents, "imitations", "Ada Example")
    rejects = {
        name: np.concatenate([values, np.array(
            ["cannot be decoded: broken data stream"] if name == "reason" else [""] if name not in contents.items
            else contents.items[name][row : row + 1],
            values.dtype,
        )])
        for name, values in contents.rejects.items()
    }  # fmt: skip
    keep = np.arange(len(vectors)) != row
    items = {name: values[keep] for name, values in contents.items.items()}
    assert contents.item_stamps is not None and contents.reject_stamps is not None
    stamps = contents.item_stamps
    return dataclasses.replace(
        contents, items=items, rejects=rejects, item_stamps=stamps[keep],
        reject_stamps=np.concatenate([contents.reject_stamps, stamps[row : row + 1]]),
    ), vectors[keep]  # fmt: skip


def repeated(contents: Contents, vectors: np.ndarray) -> tuple[Contents, np.ndarray]:
    rows = np.append(np.arange(len(vectors)), [pick(contents, "imitations", "Ada Example")] * 3)
    items = {name: values[rows] for name, values in contents.items.items()}
    assert contents.item_stamps is not None
    stamps = contents.item_stamps[rows]
    return dataclasses.replace(contents, items=items, item_stamps=stamps), vectors[rows]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_artist, r"rows: lacks 1 pictures, such as \S+ \(imitations of Ada Example in one\)"),
        (other_kind, r"rows: also contains 1 pictures, such as \S+ \(works of Ada Example in works\)"),
        (other_prompt, r"has the prompt 'A painting' in the index, not 'Artwork from "),
        (other_seed, r"has the seed \d+ in the index, not \d+"),
        (other_bytes, r"works/\S.*: the picture is changed"),
        (hidden, r"was rejected \(cannot be decoded: broken data stream\), but can be decoded"),
        (repeated, r"rows: repeats 1 pictures, such as \S+ \(imitations of Ada Example in one\)"),
    ],
)
def test_the_rows_of_an_index_are_the_pictures_of_the_sources(
    change: Callable[[Contents, np.ndarray], tuple[Contents, np.ndarray]], said: str, done: Path
) -> None:
    assert faults(done) == []
    path = forge(done, change)
    if change is not repeated:
        assert not verify(path).faults  # only the sources show it
    found = faults(done)
    assert any(re.search(said, fault) for fault in found), found


def test_an_index_that_repeats_a_picture_or_a_name_is_not_sound(done: Path, tmp_path: Path) -> None:
    path = forge(done, repeated)
    assert any(fault.where == "items/path" for fault in verify(path).faults)

    def twins(contents: Contents, vectors: np.ndarray) -> tuple[Contents, np.ndarray]:
        names = ["Ada Example" if name == "Bo Sample" else name for name in contents.artists]
        return dataclasses.replace(contents, artists=names), vectors

    path = forge(done, twins)
    with pytest.raises(ImindexError, match="lists 'Ada Example' more than once"):
        verify(path)


def test_verify_pictures_decodes_rejects_again(done: Path) -> None:
    path = forge(done, hidden)
    for words in (("--pictures",), ("--replay", "all", "--trust-encoder", "--device", "cpu")):
        result = run("verify", "-i", path, "--root", done, *words, code=3)
        assert "was rejected (cannot be decoded: broken data stream), but can be decoded" in result.stdout
        assert "Of 1 reject, 0 still cannot be used, 1 has changed or can be decoded." in result.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda report: report["plan"].update(registered=EARLY), "report.plan.registered: is 2019"),
        (lambda report: report["provenance"].update(started=EARLY), "lists no run that began then"),
        (lambda report: report["provenance"].update(command="imindex other"), "report.provenance.command: is"),
        (
            lambda report: report["provenance"].update(
                unfinished=[{"started": EARLY, "why": "the other side pulled the plug"}]
            ),
            "report.provenance.unfinished: lists 1 runs that did not finish",
        ),
    ],
)  # fmt: skip
def test_dates_and_runs_are_those_of_the_register_and_the_runs(
    change: Callable[[Any], object], said: str, done: Path
) -> None:
    edit(done, change)
    assert any(said in fault for fault in faults(done)), faults(done)


def test_a_failed_run_cannot_be_left_out(done: Path) -> None:
    runs = done / "audit/runs.jsonl"
    failed = [{"started": EARLY, "command": "imindex audit plan.toml"}, {"ended": "", "why": "Stop"}]
    runs.write_text("".join(json.dumps(line) + "\n" for line in failed) + runs.read_text())
    assert any(
        "lists 0 runs that did not finish, and runs.jsonl lists 1 until then" in fault
        for fault in faults(done)
    )


def test_the_page_of_an_audit_shows_only_pictures_that_its_indexes_record(done: Path, tmp_path: Path) -> None:
    """The cached results of an audit from somebody else may name any file of this machine."""
    private = tmp_path / "private.png"
    picture(77).save(private)

    def point(report: Any) -> None:
        for row in report["results"][0]["artists"]:
            for pair in row["neighbours"]:
                pair["work"] = str(private)

    edit(done, point)
    report = from_json(Report, (done / "audit/report.json").read_bytes(), "report.json")
    shown = Thumbnails(tmp_path, n_pictures(report)).get(str(private))
    html = page(report, done / "audit")
    assert shown is not None and "data:image/webp" in html and shown[0] not in html


def test_outlines_are_those_of_the_recorded_bytes(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    picture(3).save(file)
    right, wrong = hashlib.sha256(file.read_bytes()).digest(), bytes(32)
    assert Looks().get((str(file), right)) is not None and Looks().get((str(file), wrong)) is None


def test_a_sealed_page_cannot_lose_its_pictures(done: Path) -> None:
    index, seal = next((done / "audit").glob("*.h5")), done / "seal.json"
    run("seal", "-i", index, "--audit", done / "audit", "-o", seal)
    report = from_json(Report, (done / "audit/report.json").read_bytes(), "report.json")
    (done / "audit/report.html").write_bytes(page(report, None).encode("utf-8", "backslashreplace"))
    words = ("--plan", done / "plan.toml", "--trust-encoder", "--seal", seal, "--device", "cpu")
    result = run("verify", "--results", done / "audit", *words, code=3)
    assert "fault   seal: report.html: has no pictures, and other bytes than the sealed page" in result.stdout


def test_blocking_a_picture_changes_the_digest_of_its_release(done: Path) -> None:
    manifest = done / "audit/imitations/one/manifest.jsonl"
    lines = manifest.read_text().splitlines()
    row = next(number for number, line in enumerate(lines) if "Ada Example" in line)
    lines[row] = json.dumps({**json.loads(lines[row]), "blocked": "safety filter"})
    manifest.write_text("\n".join(lines) + "\n")
    assert any("releases[one].digest" in fault for fault in faults(done))


@pytest.mark.parametrize(
    "reason", ["1024 pixels are more than the limit of 1", "took longer than 1e-05 s to decode"]
)
def test_the_reason_of_a_reject_is_not_believed(reason: str, done: Path) -> None:
    def hide(contents: Contents, vectors: np.ndarray) -> tuple[Contents, np.ndarray]:
        contents, vectors = hidden(contents, vectors)
        contents.rejects["reason"][-1] = reason
        return contents, vectors

    path = forge(done, hide)
    assert any(f"was rejected ({reason}), but can be decoded" in fault for fault in faults(done))
    words = ("verify", "-i", path, "--root", done, "--pictures")
    assert "but can be decoded" in run(*words, code=3).stdout
    if "pixels" in reason:  # whoever verifies states the limit
        assert "Of 1 reject, 1 still cannot be used." in run(*words, "--max-pixels", 1).stdout


def test_dates_cannot_be_freed_by_deleting_the_list_of_runs(done: Path) -> None:
    (done / "audit/runs.jsonl").unlink()
    assert any("runs.jsonl: is missing or lists no run" in fault for fault in faults(done))
