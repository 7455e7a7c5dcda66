"""The doctor: a healthy setup passes, and each fault that can be created here is reported with a remedy."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from imindex.indexer.ann import exact as ann
from imindex.indexer.core.errors import ImindexError
from imindex.indexer.core.schema import Contents, item_columns, reject_columns
from imindex.indexer.doctor import encoder as doctor_encoder
from imindex.indexer.doctor import index as doctor_index
from imindex.indexer.doctor import machine as doctor
from imindex.indexer.doctor.machine import FAULT, OK, WARNING
from imindex.indexer.encoders import precision as precisions
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.load import load
from imindex.indexer.encoders.multi_device import MultiDeviceEncoder
from imindex.indexer.store.index import Index
from imindex.indexer.store.writer import write
from tests.support.commands import last_line, run
from tests.support.models import save_model

drawn_once = functools.cache(doctor_encoder.synthetic_jpeg)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests do not measure throughput."""
    monkeypatch.setattr(doctor_encoder, "_SECONDS", 0.01)
    monkeypatch.setattr(doctor_encoder, "SHARE", 0.0)
    monkeypatch.setattr(doctor_encoder, "synthetic_jpeg", drawn_once)


def unit(n: int, dim: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def noise(n: int = 16) -> torch.Tensor:
    return torch.randint(
        0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


# The command


def test_sound_index_prints_a_line_per_check(built: Path) -> None:
    result = run("doctor", "-i", built, "--device", "cpu")
    lines = result.stdout.splitlines()
    names = [re.fullmatch(r"(ok|warning|fault) +([a-z ]+): .+", line)[2] for line in lines[:-1]]  # type: ignore[index]
    assert names == [
        "packages", "faiss", "device", "threads", "memory", "file system", "disk", "index", "search", "encoder",
        "vectors", "batches", "stored vectors", "throughput",
    ]  # fmt: skip
    assert re.fullmatch(r"14 checks: \d+ ok, \d warnings?, 0 faults\.", last_line(result))
    assert not any(
        path.name.startswith(".imindex") for path in built.parent.iterdir()
    )  # nothing is left behind
    said = json.loads(run("doctor", "-i", built, "--device", "cpu", "--json").stdout)
    assert [check["name"] for check in said["checks"]] == names
    assert said["counts"]["fault"] == 0 and sum(said["counts"].values()) == 14
    stored = next(check for check in said["checks"] if check["name"] == "stored vectors")
    assert stored["figures"]["pictures"] == 14 and stored["figures"]["cosine"] > 0.9999


def test_faults_end_with_exit_code_1(built: Path, tmp_path: Path, tiny_model: str) -> None:
    missing = run("doctor", "-i", tmp_path / "no.h5", "--model", tiny_model, "--device", "cpu", code=3)
    assert re.search(r"^fault +index: .*no\.h5 does not exist\. Build it", missing.stdout, re.M)
    assert re.search(r"^ok +batches: ", missing.stdout, re.M)
    nowhere = run("doctor", "-i", built, "--device", "cuda:99", "--json", code=3)
    said = json.loads(nowhere.stdout)
    assert [c["name"] for c in said["checks"] if c["status"] == "fault"] == ["device"]
    broken = tmp_path / "broken.h5"
    broken.write_bytes(built.read_bytes()[:5000])
    examined = run("doctor", "-i", broken, "--device", "cpu", code=3).stdout
    assert re.search(r"^fault +index: .*broken\.h5", examined, re.M)
    assert re.search(r"^warning +encoder: Not examined: the index", examined, re.M)
    assert "batches" not in examined
    moved = run("doctor", "-i", built, "--model", "local-dir:/no/such", "--device", "cpu", code=3)
    assert re.search(r"^fault +encoder: local-dir:/no/such cannot be loaded", moved.stdout, re.M)


def test_an_index_whose_bytes_have_changed_is_a_fault(built: Path, tmp_path: Path) -> None:
    with Index(built) as index:
        row = index.vectors[3].tobytes()
    raw = bytearray(built.read_bytes())
    place = raw.index(row)
    raw[place : place + 4] = (
        raw[place + 2 : place + 4] + raw[place : place + 2]
    )  # two numbers in each other's place
    other = tmp_path / "other.h5"
    other.write_bytes(raw)
    (check, *_) = doctor_index.examine_index(other)
    assert (
        check.status == FAULT
        and "(rows 0 to 13) has changed since it was written" in check.said
        and check.remedy
    )
    raw[place : place + 2] = np.float16(30).tobytes()
    other.write_bytes(raw)
    (check, *_) = doctor_index.examine_index(other)
    assert check.status == FAULT and "unit length" in check.said


def test_stored_vectors_that_the_encoder_does_not_reproduce_are_a_fault(
    built: Path, tiny_encoder: Encoder
) -> None:
    with Index(built) as index:
        sample = doctor_encoder.pictures(index, 12)
        assert min(sample.rows) >= 0 and len(sample.data) == 12
        pixels = torch.stack([doctor_encoder.decode(d, tiny_encoder.preprocess).pixels for d in sample.data])
        assert doctor_encoder.as_stored(tiny_encoder, pixels, sample, index).status == OK
        turned = replace(sample, rows=sample.rows[1:] + sample.rows[:1])
        assert doctor_encoder.as_stored(tiny_encoder, pixels, turned, index).status == FAULT
        drawn = doctor_encoder.pictures(None, 3)
        assert drawn.rows == [-1] * 3 and len(set(drawn.data)) == 3


# Single checks


def test_packages_that_are_missing_or_too_old_are_named() -> None:
    assert doctor.packages(["numpy>=1.0", "nothing-of-the-kind>=2; extra == 'test'"]).status == OK
    check = doctor.packages(["numpy>=99", "nothing-of-the-kind", "click>=8"])
    assert check.status == FAULT and check.remedy
    assert re.search(r"numpy is [\d.]+, not >=99; nothing-of-the-kind is missing", check.said)


def test_two_distributions_of_faiss_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    check = doctor.faiss_installed({"faiss-cpu": "1.15.0", "faiss-gpu": "1.15.1"})
    assert check.status == FAULT and "faiss-cpu 1.15.0 and faiss-gpu 1.15.1" in check.said
    assert check.remedy == "Run pip uninstall --yes faiss-cpu faiss-gpu, then pip install faiss-gpu."
    assert doctor.faiss_installed({"faiss-gpu": "1.15.1"}).status == OK
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(ann, "n_gpus", lambda: 0)
    check = doctor.faiss_installed({"faiss-cpu": "1.15.1"})
    assert check.status == WARNING and "sees no GPU, although torch sees 2" in check.said


def test_the_meaning_of_auto_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for computes, precision in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(precisions, "_cpu_computes_bf16", lambda computes=computes: computes)
        check = doctor.device_selected("auto")
        assert f"precision auto is {precision}" in check.said and check.figures["precision"] == precision
    monkeypatch.setattr(doctor, "_nvidia_driver_installed", lambda: True)
    check = doctor.device_selected("auto")
    assert check.status == WARNING and "driver is installed, but torch sees no GPU" in check.said


def test_unsuitable_numbers_of_threads_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, used, status in ((8, 8, OK), (8, 4, OK), (8, 1, WARNING), (2, 16, WARNING)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: range(cores), raising=False)
        monkeypatch.setattr(torch, "get_num_threads", lambda used=used: used)
        assert doctor.threads().status == status, (cores, used)


def test_memory_limit_is_that_of_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proc = tmp_path / "meminfo"
    proc.write_text("MemTotal: 9 kB\nMemAvailable:    8388608 kB\n")
    assert doctor.available_memory(proc, tmp_path) == 8 * 2**30
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1073741824\n")
    assert doctor.available_memory(proc, tmp_path) == 8 * 2**30
    (tmp_path / "memory.max").write_text("2147483648\n")
    assert doctor.available_memory(proc, tmp_path) == 2**30
    assert doctor.available_memory(tmp_path / "none", tmp_path) is None
    for free, status in ((2**30, WARNING), (2**33, OK)):
        monkeypatch.setattr(doctor, "available_memory", lambda free=free: free)
        assert doctor.memory().status == status


def test_a_file_system_without_locks_or_write_access(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.file_system(tmp_path).status == OK and not list(tmp_path.iterdir())
    assert doctor.file_system(tmp_path / "no").status == FAULT

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(doctor.tempfile, "TemporaryDirectory", refuse)
        assert doctor.file_system(tmp_path).status == WARNING
    monkeypatch.setattr("imindex.indexer.system.locks.Lock.acquire", lambda self: None)
    check = doctor.file_system(tmp_path)  # nobody holds the lock, so the other process gets it
    assert check.status == FAULT and "does not exclude other processes" in check.said


def test_disk_without_space_for_the_next_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "i.h5").write_bytes(bytes(1000))
    for free, status in ((2**30 + 2000, OK), (2**30 + 1999, WARNING)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: type("", (), {"free": free}))
        assert doctor_index.disk_space(tmp_path, tmp_path / "i.h5").status == status


def test_a_search_that_misses_a_neighbour_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = unit(500, 16)
    assert doctor_index.search(vectors).status == OK
    assert doctor_index.search(vectors[:1]).status == OK
    real = ann.ExactSearcher.search

    def forgetful(self: ann.ExactSearcher, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        scores, rows = real(self, queries, k + 1)
        return scores[:, 1:], rows[:, 1:]  # each query's nearest is left out

    monkeypatch.setattr(ann.ExactSearcher, "search", forgetful)
    check = doctor_index.search(vectors)
    assert check.status == FAULT and check.figures["missed"] >= 12  # of 16, for near ties count
    queries = vectors[:2].astype(np.float32)
    twice = np.zeros((2, 2), np.int64)
    assert doctor_index.neighbours_missed(vectors[:1].repeat(5, 0), queries[:1], twice[:1]) == 1


def test_disagreeing_encoders_are_reported(tmp_path: Path, tiny_encoder: Encoder) -> None:
    other = load(f"local-dir:{save_model(tmp_path / 'm', seed=9)}", device="cpu", precision="fp32")
    half = load(tiny_encoder.info.model, device="cpu", precision="bf16")
    stored = unit(300, 32)
    same = doctor_encoder.encoders_agree(tiny_encoder, tiny_encoder, noise(), stored)
    assert (same.status, same.figures["cosine"] > 0.9999, same.figures["recall@10"]) == (OK, True, 1.0)
    assert doctor_encoder.encoders_agree(tiny_encoder, half, noise(), stored).figures["cosine"] >= 0.999
    check = doctor_encoder.encoders_agree(tiny_encoder, other, noise(), stored)
    assert check.status == FAULT and check.figures["recall@10"] < 0.9 and "Do not mix them" in check.remedy


def test_invalid_constant_or_batch_dependent_vectors_are_a_fault(
    tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert doctor_encoder.vectors_are_unit(tiny_encoder, noise()).status == OK
    assert doctor_encoder.batches_agree(tiny_encoder, noise()).status == OK
    real = tiny_encoder.encode_images
    spoilt: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
        "not a number": (lambda v: np.full_like(v, np.nan), "vectors"),
        "all the same": (lambda v: np.repeat(v[:1], len(v), 0), "vectors"),
        "by the batch": (lambda v: np.roll(v, len(v) % 7, 1), "batches"),
    }
    for name, (spoil, which) in spoilt.items():
        monkeypatch.setattr(tiny_encoder, "encode_images", lambda p, spoil=spoil: spoil(real(p)))
        check = {"vectors": doctor_encoder.vectors_are_unit, "batches": doctor_encoder.batches_agree}[which]
        assert check(tiny_encoder, noise()).status == FAULT, name
    monkeypatch.undo()


def test_throughput_is_measured_and_judged(tiny_encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    data = doctor_encoder.pictures(None, 2).data
    for both in (tiny_encoder, MultiDeviceEncoder([tiny_encoder, tiny_encoder])):
        check = doctor_encoder.throughput(both, noise(4), data)
        assert min(check.figures[f"{what}-per-s"] for what in ("decode", "encode", "forward")) > 0
        ratio = check.figures["encode-per-s"] / check.figures["forward-per-s"]
        assert check.figures["ratio"] == pytest.approx(ratio) and check.status == OK
    assert check.figures["devices"] == 2
    monkeypatch.setattr(doctor_encoder, "SHARE", 1e9)
    assert doctor_encoder.throughput(tiny_encoder, noise(4), data).status == WARNING


def test_check_that_raises_reports_the_exception() -> None:
    def broken() -> doctor.Check:
        raise ZeroDivisionError("of something")

    check = doctor.tried("name", broken)
    assert (check.status, check.said) == (FAULT, "ZeroDivisionError: of something")

    def interrupted() -> doctor.Check:
        raise RuntimeError("an import failed") from KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt):
        doctor.tried("name", interrupted)

    def told() -> doctor.Check:
        raise ImindexError("A thing, a cause, a remedy.")

    assert doctor.tried("name", told) == doctor.Check("name", FAULT, "A thing, a cause, a remedy.")


def test_an_index_without_rows_is_sound(tmp_path: Path, tiny_encoder: Encoder) -> None:
    contents = Contents(tiny_encoder.info, (), (), item_columns(()), reject_columns(()))
    header = ann.exact_header(0, tiny_encoder.dim)
    write(tmp_path / "e.h5", contents, (), ann=ann.describe(), ann_data=header, entry={})
    assert [check.status for check in doctor_index.examine_index(tmp_path / "e.h5")] == [OK]
