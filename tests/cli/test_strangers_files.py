"""Files from somebody else: what a recipient lacks is told apart from what was changed, with the command to go on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from imindex.indexer.encoders import load as encoders
from imindex.indexer.store.index import Index
from tests.support.audits import PLAN, draw
from tests.support.commands import run
from tests.support.models import save_model
from tests.support.places import ROOT


@pytest.fixture
def stranger(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder of an index, whose encoder nobody named in this process."""
    monkeypatch.setattr(encoders, "_named", set())
    return Path(shutil.copytree(built.parent, tmp_path / "sent")) / "i.h5"


@pytest.mark.parametrize(
    "words", [("query", "PICTURE"), ("query", "--text", "x"), ("verify", "--replay", "2"), ("classify",)]
)
def test_an_encoder_that_is_missing_or_another_is_named_with_the_command_to_run(
    words: tuple[str, ...], stranger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = [str(stranger.parent / "art/works/ada/0.png") if w == "PICTURE" else w for w in words]
    line += ["-i", str(stranger), "--device", "cpu"]
    monkeypatch.setattr("sys.argv", ["imindex", *line])
    with Index(stranger) as index:
        weights = index.encoder.weights_sha256
        model = index.encoder.model
    other = f"local-dir:{save_model(tmp_path / 'other', seed=9)}"
    for more, found in (
        ((), "names the encoder"),
        (("--model", f"local-dir:{tmp_path / 'nowhere'}"), "nowhere"),
        (("--model", other), "is another one"),
    ):
        said = run(*line, *more, code=1).stderr
        for part in (found, f"The index records {model}", weights, f"Run: imindex {line[0]} "):
            assert part in said, (part, said)
        assert (
            "--trust-encoder" if not more else "--model MODEL --pretrained WEIGHTS"
        ) == said.rstrip().partition(f"{stranger} --device cpu ")[2]
    assert "Run: " not in run(*line, "--trust-encoder", "--device", "tpu", code=1).stderr


def test_pictures_that_are_not_here_are_no_fault(stranger: Path, tmp_path: Path) -> None:
    shutil.move(stranger.parent / "art", tmp_path / "elsewhere")
    index = tmp_path / "sent/below/i.h5"
    index.parent.mkdir()
    shutil.move(stranger, index)
    (tmp_path / "sent/art").symlink_to(tmp_path / "elsewhere")
    run(
        "build", tmp_path / "elsewhere", "-i", index, "--device", "cpu", "--trust-encoder", "--prune", "--yes"
    )
    result = run("verify", "-i", index, "--pictures", code=4)
    assert "Not found here: 14 pictures were not opened" in result.stdout and "fault " not in result.stdout
    assert "Pass --root FOLDER" in result.stdout
    said = json.loads(run("verify", "-i", index, "--pictures", "--json", code=4).stdout)
    assert (
        said["faults"] == [] and not said["sound"] and said["uncompared"] == ["pictures that were not opened"]
    )
    run("verify", "-i", index, "--pictures", "--root", tmp_path / "elsewhere")
    (tmp_path / "elsewhere/works/ada/0.png").write_bytes(b"another")
    changed = run("verify", "-i", index, "--pictures", "--root", tmp_path / "elsewhere", code=3)
    assert "fault " in changed.stdout and "changed" in changed.stdout


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> Path:
    """An audit of pictures that exist, in plan-audit/; do not modify."""
    root = tmp_path_factory.mktemp("audited")
    for n, artist in enumerate(("Ada Example", "Bo Sample")):
        draw(root / "works" / artist, 5, 20 * n)
        for release in ("one", "two"):
            draw(root / release / artist, 3, 300 + 20 * n + len(release))
    text = PLAN.replace("{encoder}", tiny_model)
    for release in ("one", "two"):
        text = text.replace(
            f'model = "models/{release}"\nsteps = 2\nsize = "32x32"', f'pictures = "{release}"'
        )
    head, _, rest = text.partition("[prompts]")
    (root / "plan.toml").write_text(head + "[[encoders]]" + rest.partition("[[encoders]]")[2])
    run("audit", root / "plan.toml", "--device", "cpu")
    return root


@pytest.fixture
def sent(audited: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(audited, tmp_path / "case")) / "plan-audit"


def test_a_missing_folder_of_results_is_said(sent: Path) -> None:
    words = ("verify", "--results", sent, "--device", "cpu", "--trust-encoder")
    whole = run(*words)
    assert "fewer values" not in whole.stdout
    shutil.rmtree(sent / "results")
    fewer = " ".join(run(*words).stdout.split())
    assert "is missing, and with it 3 of 3 files of results, so that fewer values were compared." in fewer


def test_an_edited_register_has_a_remedy_for_owner_and_recipient(sent: Path) -> None:
    register = sent / "register.jsonl"
    register.write_text(register.read_text().replace("Two tiny", "Two nice"))
    said = " ".join(
        run("verify", "--results", sent, "--device", "cpu", "--trust-encoder", code=3).stdout.split()
    )
    assert "register.jsonl, line 1 has changed since it was written" in said
    assert "If the audit is yours," in said and "--out" in said
    assert "the file was changed after registration: ask the sender" in said


def test_figures_that_cannot_be_recomputed_without_the_encoder_are_no_fault(
    sent: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: str
) -> None:
    monkeypatch.setattr(encoders, "_named", set())
    said = " ".join(run("verify", "--results", sent, "--device", "cpu", code=4).stdout.split())
    assert "The figures were not recomputed: The plan" in said and "fault results" not in said
    assert "Not compared, and possibly edited: the figures" in said
    (sent / "report.html").write_text((sent / "report.html").read_text().replace("Two tiny", "Two nice"))
    run("verify", "--results", sent, "--device", "cpu", code=3)


def test_documents_list_the_new_ways() -> None:
    assert "--passphrase-file" in run("seal", "--help").stdout
    assert "IMINDEX_PASSPHRASE" in (ROOT / "indexer/CUSTODY.md").read_text()
