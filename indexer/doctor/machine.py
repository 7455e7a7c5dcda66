"""Is this machine fit for imindex? Checks of its packages, device, folder and index, one finding each.

The encoder is examined in `indexer.doctor.encoder`, an index in `imindex.indexer.doctor.index`. A check never ends the
others: what it stumbles over is its finding.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imindex.indexer.core.errors import ImindexError
from imindex.indexer.system.atomic import put_in_place
from imindex.indexer.system.child_process import python
from imindex.indexer.system.locks import Held, Lock, alone

OK, WARNING, FAULT = "ok", "warning", "fault"
FAISS_PACKAGES = ("faiss", "faiss-cpu", "faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12", "faiss-gpu-cu13")
GIB = 2**30
_LOCKED = 3


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes
    ----------
    name : str
        What was looked at.
    status : str
        ok, warning or fault.
    said : str
        What was found, in a sentence.
    remedy : str
        What to do about it; empty where nothing is to be done.
    figures : mapping
        The numbers behind it, for `--json`.
    """

    name: str
    status: str
    said: str
    remedy: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


def tried(name: str, check: Callable[[], Check]) -> Check:
    """Run a check; what it raises is a fault of its own."""
    try:
        return check()
    except ImindexError as error:
        return Check(name, FAULT, str(error))
    except Exception as error:  # a doctor who falls ill helps nobody: whatever it is, it is told
        said = f"{type(error).__name__}: {error}"
        return Check(name, FAULT, said[:500], "Report it, with the output of `imindex doctor --json`.")


def examine_machine(folder: Path, device: str = "auto") -> Iterator[Check]:
    """Packages, FAISS, the device, memory, the folder's file system and its room.

    Parameters
    ----------
    folder : Path
        Where the index lies, or is to lie.
    device : str
        As `--device` says.
    """
    yield tried("packages", lambda: packages(importlib.metadata.requires("imindex") or ()))
    yield tried("faiss", lambda: faiss_installed(_installed(FAISS_PACKAGES)))
    yield tried("device", lambda: device_meant(device))
    yield tried("threads", threads)
    yield tried("memory", memory)
    yield tried("file system", lambda: file_system(folder))


def packages(wanted: Iterable[str]) -> Check:
    """Compare what is installed with what imindex requires (lines such as `torch>=2.6; marker`)."""
    from packaging.requirements import Requirement

    wrong, found = [], {}
    for line in wanted:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        have = _installed([requirement.name]).get(requirement.name)
        found[requirement.name] = have
        if have is None:
            wrong.append(f"{requirement.name} is missing")
        elif not requirement.specifier.contains(have, prereleases=True):
            wrong.append(f"{requirement.name} is {have}, not {requirement.specifier}")
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if wrong:
        return Check(
            "packages", FAULT, f"{'; '.join(wrong)} ({python}).", "Run pip install imindex again.", found
        )
    core = ", ".join(
        f"{name} {found[name]}" for name in ("torch", "open_clip_torch", "h5py") if found.get(name)
    )
    return Check("packages", OK, f"{len(found)} are as required ({core}; {python}).", figures=found)


def faiss_installed(found: Mapping[str, str]) -> Check:
    """Tell two distributions of FAISS that overwrite each other (name -> version of those that are installed)."""
    if len(found) > 1:
        named = " and ".join(f"{name} {version}" for name, version in found.items())
        keep = "faiss-gpu" if "faiss-gpu" in found else min(found)
        return Check(
            "faiss",
            FAULT,
            f"{named} are installed, and overwrite each other's files.",
            f"Run pip uninstall --yes {' '.join(found)}, then pip install {keep}.",
            dict(found),
        )
    from imindex.indexer.ann import exact as ann

    version, gpus = ann.describe()["faiss-version"], ann.n_gpus()
    name = next(iter(found), "not from pip")
    seen = _cuda_devices()
    figures = {"version": version, "distribution": name, "gpus": gpus}
    if seen and not gpus:
        return Check(
            "faiss",
            WARNING,
            f"FAISS {version} ({name}) sees no GPU, though torch sees {seen}: searches run on the CPU.",
            f"Run pip uninstall --yes {name}, then pip install faiss-gpu.",
            figures,
        )
    return Check(
        "faiss", OK, f"FAISS {version} ({name}) sees {gpus or 'no'} GPU{'s' * (gpus > 1)}.", figures=figures
    )


def device_meant(name: str) -> Check:
    """What `--device` and `--precision auto` come to here, and why."""
    import torch

    from imindex.indexer.encoders.precision import default_precision
    from imindex.indexer.system.device import torch_devices

    places = torch_devices(name)
    precision = default_precision(places[0])
    cuda = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    built = f"torch {torch.__version__}, built {cuda}"
    figures: dict[str, Any] = {"devices": [str(place) for place in places], "precision": precision}
    if places[0].type == "cuda":
        cards = [torch.cuda.get_device_properties(place) for place in places]
        figures["cards"] = [{"name": card.name, "bytes": card.total_memory} for card in cards]
        named = ", ".join(f"{card.name}, {card.total_memory / GIB:.0f} GiB" for card in cards)
        said = f"{name} is {', '.join(map(str, places))} ({named}; {built}); precision auto is {precision}."
        return Check("device", OK, said, figures=figures)
    why = "computes" if precision == "bf16" else "does not compute"
    said = f"{name} is the CPU ({built}); precision auto is {precision}: the processor {why} in bf16."
    if _driver_there() and not _cuda_devices():
        return Check(
            "device",
            WARNING,
            f"{said} An NVIDIA driver is there, but torch sees no GPU.",
            "Install a torch for the CUDA version that nvidia-smi shows (pytorch.org), or free the GPU in "
            "CUDA_VISIBLE_DEVICES.",
            figures,
        )
    return Check("device", OK, said, figures=figures)


def threads() -> Check:
    """Whether torch uses the cores there are."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    used = torch.get_num_threads()
    figures = {"cores": cores, "threads": used}
    physical = used * 2 >= cores  # torch leaves the second thread of a core aside
    if physical and used <= cores:
        return Check("threads", OK, f"torch computes with {used} threads on {cores} cores.", figures=figures)
    return Check(
        "threads",
        WARNING,
        f"torch computes with {used} threads on {cores} cores.",
        f"Unset OMP_NUM_THREADS and MKL_NUM_THREADS, or set them to {cores}.",
        figures,
    )


def memory() -> Check:
    """Whether there is room for an encoder."""
    free = available_memory()
    if free is None:
        return Check("memory", OK, "This system does not tell how much memory is free.")
    status, remedy = (
        (OK, "") if free >= 2 * GIB else (WARNING, "Close other programs, or use a smaller --model.")
    )
    return Check("memory", status, f"{free / GIB:.1f} GiB are free.", remedy, {"bytes": free})


def available_memory(proc: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that a new program may take, in this container too; None where the system does not tell."""
    if not proc.exists():
        return None
    lines = dict(line.split(":", 1) for line in proc.read_text().splitlines() if ":" in line)
    free = int(lines["MemAvailable"].split()[0]) * 1024
    try:
        limit, used = (group / "memory.max").read_text().strip(), (group / "memory.current").read_text()
        return free if limit == "max" else min(free, int(limit) - int(used))
    except (OSError, ValueError):
        return free


def file_system(folder: Path) -> Check:
    """Whether the folder's file system renames over open files, flushes, maps and locks, as a build needs."""
    if not folder.is_dir():
        return Check(
            "file system", FAULT, f"{folder} is not a folder.", "Make it, or name another index with -i."
        )
    try:
        temporary = tempfile.TemporaryDirectory(prefix=".imindex-doctor-", dir=folder)
    except OSError as error:
        return Check(
            "file system",
            WARNING,
            f"{folder} cannot be written ({error.strerror}): an index can be read here, not built.",
            "Mend the permissions, or build elsewhere with -i.",
        )
    with temporary as inside:
        target, lock = Path(inside) / "file", Path(inside) / "lock"
        started = time.perf_counter()
        for content in (b"old", b"new"):
            reader = target.open("rb") if target.exists() else None
            with put_in_place(target) as beside:
                beside.write_bytes(content * 4096)
            if reader is not None:
                with reader:
                    kept = reader.read(3) == b"old"
        seconds = (time.perf_counter() - started) / 2
        mapped: npt.NDArray[np.uint8] = np.memmap(target, np.uint8, "r")
        renamed = bytes(mapped[:3]) == b"new"
        del mapped
        locked = _locks_others_out(lock)
    wrong = [
        said
        for fine, said in (
            (kept, "a reader loses the file that it has open when another takes its name"),
            (renamed, "a rename does not put the new file in place"),
            (locked, "a lock does not keep other processes out: two builds of one index could mix"),
        )
        if not fine
    ]
    if wrong:
        remedy = "Keep the index on a local disk, or never build it from two processes at once."
        return Check("file system", FAULT, f"{folder}: {'; '.join(wrong)}.", remedy)
    said = f"{folder}: rename, flush ({1000 * seconds:.1f} ms a file), mapping and locks work."
    return Check("file system", OK, said, figures={"flush-s": seconds})


def _locks_others_out(path: Path) -> bool:
    """By another process, for locks of network file systems may hold between processes only."""
    with alone(path, "{by}"), python("imindex.indexer.doctor.machine:try_lock", str(path)) as other:
        return other.wait() == _LOCKED


def try_lock(path: str) -> None:
    """Exit with status 3 if another process holds the lock at `path`."""
    try:
        Lock(Path(path)).acquire()
    except Held:
        sys.exit(_LOCKED)


def _installed(names: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cuda_devices() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _driver_there() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
