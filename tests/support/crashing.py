"""Kill commands with SIGKILL, at random moments and at every relevant step, and run them again.

tests/crash/test_crashes.py is the short version, scripts/bench/crash the long one. A server process imports everything
once and forks a child for every run, so a run takes no longer than the command. The child kills itself at the k-th step
(before or after a flush, a rename, a deletion, an opening for writing, a call that writes to HDF5), or is killed after
a time.

    python -m tests.support.crashing     the server: one JSON request per line on stdin, one answer per line on stdout
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.places import child_environment

# In the server


def serve() -> None:
    """Import what the commands need, then fork for every request."""
    import torch

    torch.set_num_threads(1)
    import imindex
    from imindex.indexer.ann import exact  # noqa: F401
    from imindex.indexer.build import build
    from imindex.indexer.encoders import open_clip  # noqa: F401
    from imindex.indexer.generate import resolve_model as generate_find  # noqa: F401
    from imindex.indexer.maintain import optimize, remove  # noqa: F401
    from tests.support import precision

    precision.force()
    for name in imindex.COMMANDS:
        imindex.main.get_command(None, name)  # type: ignore[attr-defined]
    build.COMMIT_SECONDS = 0.0  # a part for every batch
    print("ready", flush=True)
    for line in sys.stdin:
        _answer(json.loads(line))


def _answer(request: dict[str, Any]) -> None:
    pid = os.fork()
    if not pid:
        _child(request)
    killer = (
        threading.Timer(request["seconds"], os.kill, (pid, signal.SIGKILL)) if "seconds" in request else None
    )
    started = time.monotonic()
    if killer:
        killer.start()
    status = os.waitpid(pid, 0)[1]
    seconds = time.monotonic() - started
    if killer:
        killer.cancel()
    print(json.dumps({"code": os.waitstatus_to_exitcode(status), "seconds": seconds}), flush=True)


def _child(request: dict[str, Any]) -> None:
    import imindex

    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0), os.dup2(log, 1), os.dup2(log, 2)
    code: Any = 70
    try:
        os.chdir(request["folder"])
        _limit(request)
        count = _count_steps(request.get("step"), request["log"] + ".committed")
        sys.argv = ["imindex", *request["words"]]
        try:
            imindex.main(request["words"])
        except SystemExit as end:
            code = end.code or 0
        sys.stdout.flush(), sys.stderr.flush()
        Path(request["log"] + ".steps").write_text(str(count[0]))
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code if isinstance(code, int) else 70)


def _limit(request: dict[str, Any]) -> None:
    """Restrict memory, file size or root privileges, as requested."""
    import resource

    if "file-bytes" in request:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file-bytes"], request["file-bytes"]))
    if "uid" in request:
        os.setgroups([]), os.setgid(request["uid"]), os.setuid(request["uid"])
    if "memory-bytes" in request:
        from imindex.indexer.encoders.torch_encoder import TorchEncoder

        real, most = TorchEncoder.encode_images, request["memory-bytes"]

        def encode_images(
            self: Any, pixels: Any
        ) -> Any:  # from the first batch on; loading the model is not in it
            have = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (have + most, have + most))
            return real(self, pixels)

        TorchEncoder.encode_images = encode_images  # type: ignore[method-assign]


def _count_steps(fatal: int | None, committed: str) -> list[int]:
    """Count the steps of this process, kill it at one of them, and record the committed parts and pictures."""
    import io

    import h5py

    count = [0]
    noted = os.open(committed, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def step() -> None:
        count[0] += 1
        if count[0] == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(owner: Any, name: str, counts: Callable[..., bool] = lambda *_, **__: True) -> None:
        real = getattr(owner, name)

        def run(*args: Any, **kwargs: Any) -> Any:
            if not counts(*args, **kwargs):
                return real(*args, **kwargs)
            step()
            result = real(*args, **kwargs)
            step()
            return result

        setattr(owner, name, run)

    for name in ("fsync", "replace", "unlink", "mkdir", "rmdir"):
        around(os, name)
    around(os, "open", lambda path, flags, *_, **__: bool(flags & os.O_CREAT))
    around(io, "open", lambda file, mode="r", *_, **__: any(letter in mode for letter in "wax+"))
    around(h5py.Group, "create_dataset")
    around(h5py.AttributeManager, "update")
    around(h5py.Dataset, "__setitem__")
    around(h5py.File, "close")

    from imindex.indexer.build.checkpoint import Parts
    from imindex.indexer.generate.release_folder import Folder

    for owner, name in ((Parts, "append"), (Folder, "add")):
        real = getattr(owner, name)

        def run(self: Any, first: Any, *more: Any, real: Any = real) -> Any:
            names = (
                [first.path]
                if hasattr(first, "path")
                else [one.hex() for one in [*first.digests, *first.rejected]]
            )
            result = real(self, first, *more)
            os.write(noted, "".join(f"{one}\n" for one in names).encode())
            return result

        setattr(owner, name, run)
    return count


# In the test


class Server:
    """The process that forks; a context manager."""

    def __init__(self, folder: Path):
        self.log = folder / "log"

    def __enter__(self) -> Server:
        environment = child_environment(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.crashing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def run(self, folder: Path, words: Iterable[object], **how: Any) -> Ended:
        """Run a command, killed at `step` or after `seconds`, with limits `file-bytes`, `memory-bytes` and `uid`."""
        assert self._process.stdin is not None and self._process.stdout is not None
        if not hasattr(self, "_ready"):
            self._ready = self._process.stdout.readline()
            assert self._ready == "ready\n"
        for name in (".committed", ".steps"):
            Path(f"{self.log}{name}").unlink(missing_ok=True)
        asked = {"folder": str(folder), "words": [str(word) for word in words], "log": str(self.log), **how}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        steps, committed = Path(f"{self.log}.steps"), Path(f"{self.log}.committed")
        return Ended(
            answer["code"],
            answer["seconds"],
            self.log.read_text(errors="replace"),
            int(steps.read_text()) if steps.exists() else 0,
            frozenset(committed.read_text().split("\n")[:-1]) if committed.exists() else frozenset(),
        )


@dataclass(frozen=True)
class Ended:
    """Outcome of a run: exit code (-9 if killed), output, steps, and what was committed."""

    code: int
    seconds: float
    said: str
    steps: int
    committed: frozenset[str]


if __name__ == "__main__":
    serve()
