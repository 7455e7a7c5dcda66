"""How much memory this process may use."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def total_memory(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the memory of the machine, or the lowest limit of the control groups of this process if that is less.

    Parameters
    ----------
    proc, groups : Path
        Where the system lists processes and control groups (version 2, or version 1).

    Returns
    -------
    int or None
        In bytes; None if the system does not say.
    """
    found = [limit for limit in (_physical(), *_group_limits(proc, groups)) if limit]
    return min(found, default=None)


def _physical() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows
        return None


def _group_limits(proc: Path, groups: Path) -> list[int]:
    """Return the limits of the control groups that this process is in, and of those that contain them."""
    folders = [groups, groups / "memory"]
    with contextlib.suppress(OSError):
        for line in (proc / "self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines():
            _, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if controllers and "memory" not in controllers.split(","):
                continue
            folder = groups / "memory" if controllers else groups
            for part in Path(path.lstrip("/")).parts:
                if part == "..":
                    break
                folders.append(folder := folder / part)
    limits = []
    for folder in folders:
        for name in ("memory.max", "memory.limit_in_bytes"):
            with contextlib.suppress(OSError, ValueError):  # `max`: no limit
                limits.append(int((folder / name).read_text(encoding="utf-8")))
    return limits
