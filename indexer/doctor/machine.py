"""Check this machine: packages, FAISS, device, threads, memory and file system.

`imindex.indexer.doctor.encoder` checks an encoder, `imindex.indexer.doctor.index` an index. An exception in one check
is reported as its result and does not stop the others.
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

from imindex.indexer.core.errors import ImindexError, was_interrupted
from imindex.indexer.encoders import registry
from imindex.indexer.encoders.plugins import Plugin, faults, plugins
from imindex.indexer.system.atomic import write_file
from imindex.indexer.system.child_process import python
from imindex.indexer.system.locks import Held, Lock, alone

OK, WARNING, FAULT = "ok", "warning", "fault"
FAISS_PACKAGES = ("faiss", "faiss-cpu", "faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12", "faiss-gpu-cu13")
GIB = 2**30
_LOCKED = 3


@dataclass(frozen=True)
class Check:
    """Result of one check.

    Attributes
    ----------
    name : str
        What was checked.
    status : str
        ok, warning or fault.
    said : str
        The result, as one or more sentences.
    remedy : str
        How to fix it; empty if there is nothing to fix.
    figures : mapping
        The numbers behind the result, for `--json`.
    """

    name: str
    status: str
    said: str
    remedy: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


def tried(name: str, check: Callable[[], Check]) -> Check:
    """Run a check, and report an exception as a fault."""
    try:
        return check()
    except ImindexError as error:
        return Check(name, FAULT, str(error))
    except Exception as error:  # a failing check must not stop the others
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        message = f"{type(error).__name__}: {error}"
        return Check(name, FAULT, message[:500], "Report it, with the output of `imindex doctor --json`.")


def examine_machine(folder: Path, device: str = "auto") -> Iterator[Check]:
    """Check packages, FAISS, device, threads, memory and the file system of a folder.

    Parameters
    ----------
    folder : Path
        The folder of the index.
    device : str
        The value of `--device`.
    """
    yield tried("packages", lambda: packages(importlib.metadata.requires("imindex") or ()))
    if found := plugins():
        yield tried("back ends", lambda: back_ends(found))
    yield tried("faiss", lambda: faiss_installed(_installed(FAISS_PACKAGES)))
    yield tried("device", lambda: device_selected(device))
    yield tried("threads", threads)
    yield tried("memory", memory)
    yield tried("file system", lambda: file_system(folder))


def packages(requirements: Iterable[str]) -> Check:
    """Compare the installed packages with the requirements of imindex (lines such as `torch>=2.6; marker`)."""
    from packaging.requirements import Requirement

    wrong, installed = [], {}
    for line in requirements:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = _installed([requirement.name]).get(requirement.name)
        installed[requirement.name] = version
        if version is None:
            wrong.append(f"{requirement.name} is missing")
        elif not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} is {version}, not {requirement.specifier}")
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if wrong:
        return Check(
            "packages", FAULT, f"{'; '.join(wrong)} ({python}).", "Run pip install imindex again.", installed
        )
    core = ", ".join(
        f"{name} {installed[name]}" for name in ("torch", "open_clip_torch", "h5py") if installed.get(name)
    )
    return Check(
        "packages", OK, f"all {len(installed)} meet the requirements ({core}; {python}).", figures=installed
    )


def back_ends(found: Iterable[Plugin]) -> Check:
    """Check the names of back ends that come from other packages; none is imported."""
    found = list(found)
    listed = "; ".join(f"{plugin.name} of {plugin.package}" for plugin in found)
    figures = {f"{plugin.name} ({plugin.package})": plugin.module for plugin in found}
    if wrong := list(faults(found, registry.BACKENDS)):
        return Check("back ends", FAULT, " ".join(wrong), figures=figures)
    return Check("back ends", OK, f"from other packages: {listed}.", figures=figures)


def faiss_installed(distributions: Mapping[str, str]) -> Check:
    """Check FAISS, in particular for two distributions that overwrite each other.

    Parameters
    ----------
    distributions : mapping
        Versions of the installed FAISS distributions by name.
    """
    if len(distributions) > 1:
        listed = " and ".join(f"{name} {version}" for name, version in distributions.items())
        keep = "faiss-gpu" if "faiss-gpu" in distributions else min(distributions)
        return Check(
            "faiss",
            FAULT,
            f"{listed} are both installed and overwrite each other's files.",
            f"Run pip uninstall --yes {' '.join(distributions)}, then pip install {keep}.",
            dict(distributions),
        )
    from imindex.indexer.ann import exact

    version, gpus = exact.describe()["faiss-version"], exact.n_gpus()
    name = next(iter(distributions), "not from pip")
    torch_gpus = _cuda_devices()
    figures = {"version": version, "distribution": name, "gpus": gpus}
    if torch_gpus and not gpus:
        return Check(
            "faiss",
            WARNING,
            f"FAISS {version} ({name}) sees no GPU, although torch sees {torch_gpus}: searches run on the CPU.",
            f"Run pip uninstall --yes {name}, then pip install faiss-gpu.",
            figures,
        )
    return Check(
        "faiss", OK, f"FAISS {version} ({name}) sees {gpus or 'no'} GPU{'s' * (gpus > 1)}.", figures=figures
    )


def device_selected(name: str) -> Check:
    """Report which device and precision `--device` and `--precision auto` select, and why."""
    import torch

    from imindex.indexer.encoders.precision import default_precision
    from imindex.indexer.system.device import torch_devices

    places = torch_devices(name)
    precision = default_precision(places[0])
    cuda = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    built = f"torch {torch.__version__}, built {cuda}"
    figures: dict[str, object] = {"devices": [str(place) for place in places], "precision": precision}
    if places[0].type == "cuda":
        cards = [torch.cuda.get_device_properties(place) for place in places]
        figures["cards"] = [{"name": card.name, "bytes": card.total_memory} for card in cards]
        listed = ", ".join(f"{card.name}, {card.total_memory / GIB:.0f} GiB" for card in cards)
        message = (
            f"{name} is {', '.join(map(str, places))} ({listed}; {built}); precision auto is {precision}."
        )
        return Check("device", OK, message, figures=figures)
    support = "supports" if precision == "bf16" else "does not support"
    message = (
        f"{name} is the CPU ({built}); precision auto is {precision}: the CPU {support} bf16 arithmetic."
    )
    if _nvidia_driver_installed() and not _cuda_devices():
        return Check(
            "device",
            WARNING,
            f"{message} An NVIDIA driver is installed, but torch sees no GPU.",
            "Install a torch build for the CUDA version shown by nvidia-smi (pytorch.org), or list the GPU in "
            "CUDA_VISIBLE_DEVICES.",
            figures,
        )
    return Check("device", OK, message, figures=figures)


def threads() -> Check:
    """Check that torch uses all available cores."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    used = torch.get_num_threads()
    figures = {"cores": cores, "threads": used}
    # torch uses one thread per physical core, which may have two hardware threads.
    if used * 2 >= cores and used <= cores:
        return Check("threads", OK, _uses(used, cores), figures=figures)
    return Check(
        "threads",
        WARNING,
        _uses(used, cores),
        f"Unset OMP_NUM_THREADS and MKL_NUM_THREADS, or set them to {cores}.",
        figures,
    )


def _uses(used: int, cores: int) -> str:
    threads, on = "thread" if used == 1 else "threads", "core" if cores == 1 else "cores"
    return f"torch uses {used} {threads} on {cores} {on}."


def memory() -> Check:
    """Check that there is enough memory for an encoder."""
    free = available_memory()
    if free is None:
        return Check("memory", OK, "This system does not report how much memory is free.")
    status, remedy = (
        (OK, "") if free >= 2 * GIB else (WARNING, "Close other programs, or use a smaller --model.")
    )
    return Check("memory", status, f"{free / GIB:.1f} GiB free.", remedy, {"bytes": free})


def available_memory(proc: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the bytes of memory available to a new process, within the container's limit; None if unknown."""
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
    """Check what a build needs of a file system: renaming over open files, flushing, memory mapping and locks."""
    if not folder.is_dir():
        return Check(
            "file system", FAULT, f"{folder} is not a folder.", "Create it, or name another index with -i."
        )
    try:
        temporary = tempfile.TemporaryDirectory(prefix=".imindex-doctor-", dir=folder)
    except OSError as error:
        return Check(
            "file system",
            WARNING,
            f"{folder} is not writable ({error.strerror}): an index can be read here, but not built.",
            "Fix the permissions, or build elsewhere with -i.",
        )
    with temporary as inside:
        target, lock = Path(inside) / "file", Path(inside) / "lock"
        started = time.perf_counter()
        for content in (b"old", b"new"):
            reader = target.open("rb") if target.exists() else None
            write_file(target, content * 4096)
            if reader is not None:
                with reader:
                    reader_kept = reader.read(3) == b"old"
        seconds = (time.perf_counter() - started) / 2
        mapped: npt.NDArray[np.uint8] = np.memmap(target, np.uint8, "r")
        renamed = bytes(mapped[:3]) == b"new"
        del mapped
        locked = _lock_excludes_others(lock)
    wrong = [
        problem
        for passed, problem in (
            (reader_kept, "a reader loses its open file when another file is renamed over it"),
            (renamed, "a rename does not replace the file"),
            (locked, "a lock does not exclude other processes: two builds of one index could collide"),
        )
        if not passed
    ]
    if wrong:
        remedy = "Keep the index on a local disk, or never build it from two processes at the same time."
        return Check("file system", FAULT, f"{folder}: {'; '.join(wrong)}.", remedy)
    message = f"{folder}: rename, flush ({1000 * seconds:.1f} ms per file), memory mapping and locks work."
    return Check("file system", OK, message, figures={"flush-s": seconds})


def _lock_excludes_others(path: Path) -> bool:
    """Test a lock from another process, since on network file systems locks may work between processes only."""
    with alone(path, "{by}"), python("imindex.indexer.doctor.machine:try_lock", str(path)) as other:
        return other.wait() == _LOCKED


def try_lock(path: str) -> None:
    """Exit with status 3 if another process holds the lock at `path`."""
    try:
        Lock(Path(path)).acquire()
    except Held:
        sys.exit(_LOCKED)


def _installed(names: Iterable[str]) -> dict[str, str]:
    installed = {}
    for name in names:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def _cuda_devices() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _nvidia_driver_installed() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
