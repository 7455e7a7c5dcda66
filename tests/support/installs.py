"""Ways to install imindex without its requirements: clean checkouts, an sdist, wheels, and how to run each."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.places import ROOT

NOT_TRACKED = ("data", "runs", "build", "dist", "PKG-INFO")
"""Untracked names that may be at the top of a checkout, or of an unpacked sdist."""


def tracked() -> list[str]:
    """Return the tracked files, relative to the checkout; in an unpacked sdist, which is outside git, all files."""
    git = ["git", "-C", str(ROOT), "ls-files", "-z"]
    try:
        listed = subprocess.run(git, capture_output=True, text=True, check=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        listed = []
    if "setup.cfg" in listed:
        return sorted(name for name in listed if name and (ROOT / name).is_file())
    found = []
    for folder, folders, files in os.walk(ROOT):
        place = Path(folder).relative_to(ROOT)
        folders[:] = [name for name in folders if _belongs(place / name)]
        found += [(place / name).as_posix() for name in files if _belongs(place / name)]
    return sorted(found)


def _belongs(path: Path) -> bool:
    """Return whether a file or folder is not left behind by tools."""
    hidden = path.name.startswith(".") and str(path) not in (
        ".ci",
        ".dockerignore",
        ".github",
        ".mypy.ini",
        ".ruff.toml",
    )
    made = path.name == "__pycache__" or path.suffix in (".pyc", ".egg-info") or str(path) in NOT_TRACKED
    return not hidden and not made


def copy_checkout(target: Path) -> Path:
    """Copy the tracked files to a new folder, in their current state."""
    for name in tracked():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name)
    return target


def build(checkout: Path, what: str, target: Path) -> Path:
    """Build an sdist, a wheel or an editable wheel of a checkout, as pip does, with the setuptools of this environment.

    Parameters
    ----------
    checkout : Path
        The build writes into it, so it does not stay clean.
    what : {"sdist", "wheel", "editable"}
    target : Path
        The folder to write to.

    Returns
    -------
    Path
        The file.
    """
    target.mkdir(parents=True, exist_ok=True)
    code = f"import sys; from setuptools.build_meta import build_{what} as build; build(sys.argv[1])"
    words = [sys.executable, "-c", code, str(target)]
    done = subprocess.run(words, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = (path for path in target.iterdir() if path.suffix in (".gz", ".whl"))
    return made


def unpack(archive: Path, target: Path) -> Path:
    """Unpack a wheel, or an sdist, and return its single folder."""
    is_wheel = archive.suffix == ".whl"
    shutil.unpack_archive(archive, target, "zip" if is_wheel else "gztar")
    if is_wheel:
        return target
    (folder,) = target.iterdir()
    return folder


def under_its_name(checkout: Path, target: Path) -> Path:
    """Make a folder from which a checkout of any name can be imported, as scripts/env.sh does."""
    target.mkdir()
    (target / "imindex").symlink_to(checkout)
    return target


def console_script(installed: Path, target: Path) -> Path:
    """Write the command `imindex` as pip does, from the entry points of an unpacked wheel."""
    (listed,) = installed.glob("*.dist-info/entry_points.txt")
    config = configparser.ConfigParser()
    config.read_string(listed.read_text(encoding="utf-8"))
    ((name, entry),) = config["console_scripts"].items()
    module, function = re.fullmatch(r"([\w.]+):(\w+)", entry).groups()  # type: ignore[union-attr]
    target.mkdir()
    (target / name).write_text(
        f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n", encoding="utf-8"
    )
    return target / name


def environment(*first: Path, **variables: str) -> dict[str, str]:
    """Return the environment of a process that imports from these folders first, and not from this checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "PYTHONPATH": os.pathsep.join(map(str, first)), **variables}


def editable_path(unpacked: Path) -> str:
    """Return code that installs an editable wheel in front of the environment's packages, for `python -S`."""
    packages = [path for path in sys.path if path and not (Path(path) / "imindex").exists()]
    return f"import site, sys; site.addsitedir({str(unpacked)!r}); sys.path += {packages!r}\n"


def somebody_elses(folder: Path, *names: str, mark: Path) -> Path:
    """Write modules and packages (names ending in a slash) that write a file and fail when they are imported."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = folder / (f"{name}__init__.py" if name.endswith("/") else f"{name}.py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            f"open({str(mark)!r}, 'a').write(__file__)\nraise RuntimeError('not imindex: ' + __file__)\n",
            encoding="utf-8",
        )
    return folder
