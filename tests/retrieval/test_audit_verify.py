"""Recomputing an audit gives the same figures, and every change since is named."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
from msgspec.structs import replace

from imindex.indexer.core.digest import json_digest
from imindex.indexer.core.errors import ImindexError
from imindex.retrieval.audit.audit import Outcome
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.audit.recompute import Recomputed, plan_of, recompute
from imindex.retrieval.audit.run import Compute, Run, Workspace
from imindex.retrieval.results.report_digest import digest
from tests.support import audits
from tests.support.audits import run_plan
from tests.support.commands import last_line, run
from tests.support.whole_index import save

pytestmark = pytest.mark.usefixtures("one_thread")


def again(root: Path) -> Recomputed:
    return recompute(
        Run(read_plan(root / "plan.toml"), Workspace(root / "audit", keeps=False), Compute("cpu"))
    )


def files(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted((root / "audit").rglob("*")) if path.is_file()}


def test_intact_audit_recomputes_identically_without_writing(
    done: Path, finished: tuple[Path, Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(done)
    (done / "models").unlink()  # no model is asked
    monkeypatch.setattr("imindex.retrieval.audit.assess.kept", kept_only_asks(done))
    found = again(done)
    assert found.faults == [] and found.now == found.stored == finished[1].report.digest
    assert found.figures > 500 and found.versions == {}
    assert files(done) == before


def kept_only_asks(root: Path) -> Callable[..., Any]:
    """Stands in for `kept`, and must not read cached results."""
    from imindex.retrieval.audit.results_cache import kept

    def never_reads(run: Run, file: Path, *how: Any) -> Any:
        return kept(run, root / "no" / "such" / "file", *how)

    return never_reads


def edit_report(root: Path, honest: bool) -> None:
    path = root / "audit/report.json"
    report = json.loads(path.read_text())
    report["results"][0]["artists"][0]["auc"] = 0.987
    if honest:
        report["digest"] = digest(report)
    path.write_text(json.dumps(report))


def edit_kept(root: Path) -> None:
    path = next(path for path in (root / "audit/results").rglob("two.json"))
    kept = json.loads(path.read_text())
    kept["result"]["matching"]["artists"][1]["auc"] = 0.123
    kept["digest"] = json_digest(kept["result"])
    path.write_text(json.dumps(kept))


def edit_comparison(root: Path) -> None:
    path = next(path for path in (root / "audit/results").rglob("two-against-one.json"))
    kept = json.loads(path.read_text())
    kept["result"]["n_artists"] = 3
    path.write_text(json.dumps(kept))


def edit_index(root: Path) -> None:
    with h5py.File(next((root / "audit").glob("*.h5")), "r+") as file:
        file["items/seed"][0] = 99


def named(root: Path) -> list[str]:
    return [f"{fault.where}: {fault.said}" for fault in again(root).faults]


def test_what_was_changed_is_named(done: Path) -> None:
    edit_report(done, honest=False)
    edit_kept(done)
    edit_comparison(done)
    edit_index(done)
    audits.draw(done / "works/Bo Sample/more", 1, 800)
    said = named(done)
    for wanted in (
        r"report\.json: has changed since it was written",
        r"results/.*two\.json\.matching\.artists\[Bo Sample\]\.auc: is .* now, 0\.123 stored",
        r"two-against-one\.json: has changed since it was written",
        r"two-against-one\.json\.n_artists: is 2 now, 3 stored",
        r"tiny.*\.h5: items/seed: has changed since it was written",
        r"inputs: the works changed",
        r"\.h5: rows: lacks 1 pictures",
    ):
        assert any(re.search(wanted, one) for one in said), (wanted, said)


def test_a_report_that_was_given_a_new_digest_is_named_by_its_figures(done: Path) -> None:
    edit_report(done, honest=True)
    audits.change(done, "seed = 7\n", "seed = 7 # the same\n")
    said = [one for one in named(done) if not one.startswith("report.html: line ")]
    figure, text, *more = sorted(said, key=lambda one: one.startswith("report.plan.text: "))
    assert re.fullmatch(
        r"report\.results\[one, tiny\]\.artists\[Ada Example\]\.auc: is [0-9.]+ now, 0\.987 stored", figure
    )
    assert text.startswith("report.plan.text: ") and not more


def test_another_plan_is_named(done: Path) -> None:
    audits.change(done, "n_resamples = 99", "n_resamples = 199")
    assert any(re.search(r"plan: .*not the plan that was registered", one) for one in named(done))


def test_what_is_gone_is_said(done: Path, tmp_path: Path) -> None:
    picture = next((done / "audit/imitations").rglob("*.png"))
    data = picture.read_bytes()
    picture.write_bytes(data + b"x")
    with pytest.raises(ImindexError, match=r"lacks 1 of the 12 pictures of one"):
        again(done)
    picture.write_bytes(data)
    (done / "audit/register.jsonl").rename(tmp_path / "kept")
    with pytest.raises(ImindexError, match=r"has no register\.jsonl"):
        again(done)
    (tmp_path / "kept").rename(done / "audit/register.jsonl")
    (done / "audit/report.json").unlink()
    with pytest.raises(ImindexError, match="not finished"):
        again(done)
    with pytest.raises(ImindexError, match="--plan"):
        plan_of(done / "audit")


def test_the_commands_verify_and_seal_an_audit(done: Path) -> None:
    index, seal = next((done / "audit").glob("*.h5")), done / "seal.json"
    (done / "audit").rename(done / "plan-audit")
    index = done / "plan-audit" / index.name
    run("seal", "-i", index, "--plan", done / "plan.toml", "-o", seal)
    said = json.loads(seal.read_text())["audit"]
    report = json.loads((done / "plan-audit/report.json").read_text())
    assert said["plan"] == read_plan(done / "plan.toml").digest and said["report"] == report["digest"]
    line = json.loads((done / "plan-audit/register.jsonl").read_text().splitlines()[-1])
    assert said["register"] == line["digest"]
    result = run("verify", "-i", index, "--seal", seal, "--results", done / "plan-audit", "--device", "cpu")
    assert last_line(result) == f"Verified {done / 'plan-audit'}: no faults."
    for what in ("register: last line", "plan: digest", "report: digest"):
        assert f"identical   {what}" in result.stdout
    assert "not checked audit: pass its folder" in run("verify", "-i", index, "--seal", seal).stdout
    audits.change(done, "n_resamples = 99", "n_resamples = 199")
    assert (
        "amend the audit first"
        in run("seal", "-i", index, "--plan", done / "plan.toml", "-o", done / "other.json", code=1).stderr
    )
    result = run("verify", "--results", done / "plan-audit", "--device", "cpu", "--json", code=3)
    assert json.loads(result.stdout)["faults"][0]["where"] == "plan"


def test_sealed_register_may_grow_but_not_be_replaced(done: Path) -> None:
    from imindex.retrieval.audit.recompute import audit_digests, sealed_audit

    sealed = audit_digests(done / "audit", done / "plan.toml")
    audits.change(done, "n_resamples = 99", "n_resamples = 199")
    run_plan(done, amend="more resamples")
    said = {one.what: one.status for one in sealed_audit(sealed, done / "audit")}
    files = {"report.html": "differs", "report.json": "differs", "artists.csv": "identical"}
    assert said == {"register": "rewritten", "plan": "rewritten", "report": "differs", **files}
    other = replace(sealed, register="ab" * 32)
    assert sealed_audit(other, done / "audit")[0].status == "differs"


# The page, the table and their seal


def edit(path: Path, before: str, after: str) -> None:
    text = path.read_bytes().decode()
    assert before in text
    path.write_bytes(text.replace(before, after, 1).encode())


def of_files(found: Recomputed) -> list[str]:
    return [f"{fault.where}: {fault.said}" for fault in found.faults]


def test_page_and_table_are_written_again_and_agree(done: Path) -> None:
    found = again(done)
    assert found.faults == [] and found.same == ("report.html", "artists.csv")
    assert re.match(r"report\.html was rendered again and agrees, with \d+ pictures", found.notes[0])


def test_an_edited_page_is_named_by_its_line(done: Path) -> None:
    page = done / "audit/report.html"
    edit(page, "Two tiny releases", "Two harmless releases")
    (said,) = of_files(again(done))
    line = (
        page.read_text().splitlines().index(next(x for x in page.read_text().splitlines() if "harmless" in x))
    )
    assert said.startswith(f"report.html: line {line + 1} is ")
    assert "harmless releases" in said and "tiny releases" in said


def test_an_exchanged_picture_on_the_page_is_named(done: Path) -> None:
    page = done / "audit/report.html"
    first, *_, last = dict.fromkeys(re.findall(r"data:image/webp;base64,[A-Za-z0-9+/=]+", page.read_text()))
    edit(page, first, last)
    (said,) = of_files(again(done))
    assert re.match(r"report\.html: shows another picture than .*\.png", said)


@pytest.mark.parametrize("how", ["cell", "row", "extra"])
def test_an_edited_table_is_named_by_its_cell(done: Path, how: str) -> None:
    path = done / "audit/artists.csv"
    lines = path.read_bytes().decode("utf-8-sig").split("\r\n")
    if how == "cell":
        cells = lines[1].split(",")
        cells[lines[0].split(",").index("n_works")] = "77"
        lines[1] = ",".join(cells)
    elif how == "row":
        del lines[2]
    else:
        lines.insert(2, lines[1])
    path.write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    (said,) = of_files(again(done))
    assert (
        said
        == {
            "cell": "artists.csv: one, tiny, Ada Example: n_works: is 77, 5 in report.json",
            "row": "artists.csv: one, tiny, Bo Sample: the row is missing",
            "extra": "artists.csv: row 2: report.json has no such row",
        }[how]
    )


def test_a_missing_page_is_named(done: Path) -> None:
    (done / "audit/report.html").unlink()
    assert of_files(again(done)) == ["report.html: is missing"]


def test_a_page_without_pictures_is_compared(done: Path) -> None:
    run_plan(done, pictures=False)
    found = again(done)
    assert found.faults == [] and "agrees, without pictures" in found.notes[0]


def test_pictures_that_cannot_be_read_are_said_and_the_rest_is_compared(done: Path) -> None:
    from imindex.retrieval.audit.recompute import stored_rendered

    works = sorted((done / "works").rglob("*.png"))
    works[0].unlink()
    run_plan_again = stored_rendered(done / "audit")
    assert run_plan_again.faults == () and run_plan_again.same == ("report.html", "artists.csv")
    shutil.rmtree(done / "works")
    rendered = stored_rendered(done / "audit")
    assert rendered.faults == () and "report.html" in rendered.same
    assert any("could not be compared, because the files cannot be read" in one for one in rendered.notes)
    edit(done / "audit/report.html", "Two tiny releases", "Two harmless releases")
    (fault,) = stored_rendered(done / "audit").faults
    assert "harmless" in fault.said


def test_pictures_that_were_unreadable_then_and_others_that_are_now(done: Path) -> None:
    """The page was written while one picture was away; now another is."""
    from imindex.retrieval.audit.recompute import stored_rendered
    from imindex.retrieval.report.report import write
    from imindex.retrieval.results import Report, from_json

    report = from_json(Report, (done / "audit/report.json").read_bytes())
    shown = [pair.work for row in report.results[0].artists for pair in row.neighbours]
    (done / "audit" / shown[0]).unlink()
    write(report, done / "audit", base=done / "audit")
    assert stored_rendered(done / "audit").faults == ()
    (done / "audit" / next(path for path in shown if path != shown[0])).unlink()
    rendered = stored_rendered(done / "audit")
    assert rendered.faults == () and "2 pictures could not be compared" in " ".join(rendered.notes)


def test_a_page_by_another_version_is_not_called_edited(done: Path) -> None:
    path = done / "audit/report.json"
    report = json.loads(path.read_text())
    report["provenance"].update(rendering="ab" * 32, program="imindex 0.0.9")
    path.write_text(json.dumps(report, indent=1))
    edit(done / "audit/report.html", "</body>", "<i></i></body>")
    found = again(done)
    assert found.faults == [] and found.same == ("artists.csv",)
    (said,) = [one for one in found.notes if one.startswith("report.html")]
    assert "imindex 0.0.9 wrote it with other templates" in said and "2 of 2" in said
    assert found.uncompared == ("report.html",)
    table = done / "audit/artists.csv"
    head, *rows = table.read_bytes().decode().splitlines()
    table.write_bytes("\r\n".join([f"{head},older", *(f"{row},1" for row in rows), ""]).encode())
    found = again(done)
    assert "not compared: older" in " ".join(found.notes)
    assert found.uncompared == ("report.html", "artists.csv")


def test_a_renamed_column_of_the_table_is_not_verified(done: Path) -> None:
    from imindex.retrieval.audit.recompute import stored_rendered

    path = done / "audit/report.json"
    report = json.loads(path.read_text())
    report["provenance"]["rendering"] = "0" * 64
    path.write_text(json.dumps(report, indent=1))
    assert stored_rendered(done / "audit").uncompared == ()
    edit(done / "audit/artists.csv", ",auc,", ",AUC,")
    rendered = stored_rendered(done / "audit")
    assert rendered.uncompared == ("artists.csv",)
    assert "not compared: AUC; missing: auc" in " ".join(rendered.notes)


@pytest.mark.parametrize("how", ["animated", "lossless", "metadata", "trailing"])
def test_a_thumbnail_is_one_lossy_frame(done: Path, how: str) -> None:
    """Viewers show the later frames, or the metadata, of a picture whose first frame agrees."""
    from PIL import Image

    from imindex.retrieval.audit.recompute import stored_rendered

    page = done / "audit/report.html"
    _, encoded = re.findall(r"(data:image/webp;base64,)([A-Za-z0-9+/=]+)", page.read_text())[0]
    data = base64.b64decode(encoded)
    true, out = Image.open(io.BytesIO(data)).convert("RGB"), io.BytesIO()
    if how == "animated":
        other = Image.new("RGB", true.size, (255, 0, 0))
        true.save(out, "WEBP", save_all=True, append_images=[other], duration=[1, 10**6], lossless=True)
    elif how == "lossless":
        true.save(out, "WEBP", lossless=True)
    elif how == "metadata":
        edges = b"".join((edge - 1).to_bytes(3, "little") for edge in true.size)
        exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0"
        chunks = b"VP8X\x0a\0\0\0\x08\0\0\0" + edges + data[12:]
        chunks += b"EXIF" + len(exif).to_bytes(4, "little") + exif
        out.write(b"RIFF" + (4 + len(chunks)).to_bytes(4, "little") + b"WEBP" + chunks)
    else:
        out.write(data + b"more")
    page.write_text(page.read_text().replace(encoded, base64.b64encode(out.getvalue()).decode()))
    assert any("shows another picture" in fault.said for fault in stored_rendered(done / "audit").faults)


def test_no_text_of_a_report_is_taken_for_a_picture(done: Path) -> None:
    from imindex.retrieval.audit.recompute import stored_rendered
    from imindex.retrieval.report.report import write
    from imindex.retrieval.results import Report, from_json

    report = from_json(Report, (done / "audit/report.json").read_bytes())
    title = "data:image/webp;base64,imindex99x costs 9000000001"
    write(replace(report, title=title), done / "audit", base=done / "audit")
    assert stored_rendered(done / "audit").faults == ()
    edit(done / "audit/report.html", "9000000001", "17")
    assert stored_rendered(done / "audit").faults


def test_a_page_that_only_claims_other_templates_is_not_verified(done: Path) -> None:
    (done / "audit").rename(done / "plan-audit")
    folder = done / "plan-audit"
    words = ("verify", "--results", folder, "--device", "cpu")
    assert last_line(run(*words)).endswith("no faults.")
    report = json.loads((folder / "report.json").read_text())
    report["provenance"]["rendering"] = "0" * 64
    (folder / "report.json").write_text(json.dumps(report, indent=1))
    edit(folder / "report.html", "</body>", "<p>Nobody is imitated.</p></body>")
    line = last_line(run(*words, code=4))
    assert "Not compared, and possibly edited: report.html" in line and "Verified" not in line
    found = json.loads(run(*words, "--json", code=4).stdout)
    assert found["sound"] is False and found["uncompared"] == ["report.html"]


def test_each_file_of_the_report_is_in_the_seal(done: Path) -> None:
    (done / "audit").rename(done / "plan-audit")
    folder, seal = done / "plan-audit", done / "seal.json"
    run("seal", "-i", next(folder.glob("*.h5")), "--plan", done / "plan.toml", "-o", seal)
    sealed = json.loads(seal.read_text())["audit"]["files"]
    assert sorted(sealed) == ["artists.csv", "report.html", "report.json"]
    # The index is found by the name in the seal.
    words = ("verify", "--results", folder, "--seal", seal, "--device", "cpu")
    said = run(*words).stdout
    assert all(f"identical   {name}: SHA-256" in said for name in sealed)
    edit(folder / "report.html", "Two tiny releases", "Two harmless releases")
    edit(folder / "artists.csv", "one,tiny", "one,tinny")
    said = run(*words, code=3).stdout
    for wanted in (
        "fault   report.html: line",
        "fault   artists.csv",
        "fault   seal: report.html",
        "identical   file",
    ):
        assert wanted in said, wanted


def test_all_that_was_found_is_said_where_something_is_missing(done: Path) -> None:
    (done / "audit").rename(done / "plan-audit")
    folder, seal = done / "plan-audit", done / "seal.json"
    index = next(folder.glob("*.h5"))
    run("seal", "-i", index, "--plan", done / "plan.toml", "-o", seal)
    edit(folder / "report.html", "Two tiny releases", "Two harmless releases")
    index.unlink()
    shutil.rmtree(done / "works")
    said = run("verify", "--results", folder, "--seal", seal, "--device", "cpu", code=3).stdout
    for wanted in (
        "fault   results: could not be recomputed", "fault   report.html: line", "fault   index: ",
        "identical   register", "identical   artists.csv", "fault   seal: report.html",
        "report.html: nothing after line",
    ):  # fmt: skip
        assert wanted in said, (wanted, said)
    seal.write_text("{")
    said = run("verify", "--results", folder, "--seal", seal, "--device", "cpu", code=3).stdout
    assert "fault   seal: " in said and "fault   report.html: line" in said


def test_a_seal_of_version_1_0_is_still_read(done: Path) -> None:
    from imindex.indexer.core.digest import canonical_json
    from imindex.indexer.integrity.seal import read_seal
    from imindex.retrieval.audit.recompute import sealed_audit

    index, seal = next((done / "audit").glob("*.h5")), done / "seal.json"
    run("seal", "-i", index, "--audit", done / "audit", "-o", seal)
    manifest = json.loads(seal.read_text())
    del manifest["audit"]["files"], manifest["digest"], manifest["signature"]
    for key in ("created-at", "created-by", "log-lines", "log-digest", "digests"):
        del manifest["index"][key]
    del manifest["encoder"]["name"]
    manifest["version"] = "1.0"
    seal.write_text(canonical_json(manifest) + "\n")
    audit = read_seal(seal).audit
    assert audit is not None
    said = {one.what: one.status for one in sealed_audit(audit, done / "audit")}
    assert said.pop("report files") == "not checked" and set(said.values()) == {"identical"}


def test_encoder_of_a_strangers_plan_is_not_loaded(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan lies beside the results, so it may be the stranger's as well."""
    monkeypatch.setattr("imindex.indexer.encoders.load._named", set())
    asked = ("verify", "--results", done / "audit", "--plan", done / "plan.toml", "--device", "cpu")
    refused = " ".join(run(*asked, code=4).output.split())
    assert re.search(
        r"The figures were not recomputed: The plan \S+ names the encoder local-dir:\S+, .* so it is not loaded",
        refused,
    ), refused
    assert "Verified" in run(*asked, "--trust-encoder").output
    assert run_plan(done).report is not None  # whoever runs a plan trusts what it names


def test_a_comparison_can_require_that_its_audits_are_verified(done: Path) -> None:
    """A digest that fits is no proof: figures of a gate are recomputed on request."""
    audit = (done / "audit").rename(done / "plan-audit")
    words = ("compare", f"{audit}:one", f"{audit}:two", "--no-names", "--resamples", "99", "--device", "cpu")
    verified = run(*words, "--audit-verified")
    assert "plan-audit was recomputed: " in " ".join(verified.stderr.split())
    report = json.loads((audit / "report.json").read_text())
    report["results"][1]["artists"][0]["finding"] = "imitated"
    report["digest"] = digest(report)
    (audit / "report.json").write_text(json.dumps(report))
    run(*words)
    said = " ".join(run(*words, "--audit-verified", code=1).stderr.split())
    assert "does not pass verification, so it was not compared: report.results[two, tiny].artists[Ada" in said
    index = next(audit.glob("*.h5"))
    said = " ".join(run("compare", "one", "two", "-i", index, "--audit-verified", code=1).stderr.split())
    assert (
        "one is a collection of an index, and audit_verified (--audit-verified) is for finished audits"
        in said
    )


def test_an_edited_report_is_not_sealed(done: Path) -> None:
    edit_report(done, honest=False)
    index = next((done / "audit").glob("*.h5"))
    said = run("seal", "-i", index, "--audit", done / "audit", "-o", done / "s.json", code=1).stderr
    assert "report.json was edited since imindex wrote it, so it was not sealed" in " ".join(said.split())
    assert not (done / "s.json").exists()


def test_verify_says_what_a_seal_does_not_hold(done: Path, tmp_path: Path) -> None:
    index = next((done / "audit").glob("*.h5"))
    run("seal", "-i", index, "-o", done / "index.json")
    asked = ("verify", "--results", done / "audit", "--plan", done / "plan.toml", "--trust-encoder", "--seal")
    said = run(*asked, done / "index.json", "-i", index, "--device", "cpu").stdout
    assert "not checked audit: the seal is of an index only" in said
    (done / "audit/report.json").rename(done / "kept.json")
    run("seal", "-i", index, "--audit", done / "audit", "-o", done / "early.json")
    (done / "kept.json").rename(done / "audit/report.json")
    said = run(*asked, done / "early.json", "--device", "cpu").stdout
    assert "not checked report: the seal holds no report" in said
    save(tmp_path / "other.h5")
    result = run(*asked, done / "index.json", "-i", tmp_path / "other.h5", "--device", "cpu", code=3)
    assert "is none of the indexes that the report in" in result.stdout
