"""The lock file is complete and within the bounds of setup.cfg, whose lowest versions it names."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "scripts/lock/linux-x86_64-py311.txt"
LINUX = {
    **default_environment(),
    "sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "python_version": "3.11",
}  # fmt: skip


def wanted() -> list[Requirement]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = dict(config["options.extras_require"])
    for extra in ("lora", "formats", "lance", "release"):  # not in the lock
        del extras[extra]
    lines = [config["options"]["install_requires"], *extras.values()]
    return [Requirement(line) for text in lines for line in text.splitlines() if line]


def named(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked() -> dict[str, str]:
    lines = LOCK.read_text(encoding="ascii").splitlines()
    pinned = {}
    for line in lines:
        if line.startswith("#"):
            continue
        found = re.fullmatch(r"([\w.-]+)==([\w.!+-]+) --hash=sha256:[0-9a-f]{64}", line)
        assert found, line
        name, version = found.groups()
        assert named(name) not in pinned
        pinned[named(name)] = version
    return pinned


def test_the_lock_satisfies_setup_cfg() -> None:
    pinned = locked()
    asked = [one for one in wanted() if one.marker is None or one.marker.evaluate(LINUX)]
    assert len(asked) > 20
    for requirement in asked:
        assert requirement.specifier.contains(pinned[named(requirement.name)]), requirement


def test_pip_checks_every_hash_and_refuses_another(tmp_path: Path) -> None:
    """A wheel of this version with other bytes is refused under --require-hashes, which scripts/env.sh passes."""
    line = next(
        line for line in LOCK.read_text(encoding="ascii").splitlines() if line.startswith("iniconfig==")
    )
    version = line.partition("==")[2].split()[0]
    wheel = tmp_path / f"iniconfig-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        about = f"iniconfig-{version}.dist-info"
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: iniconfig\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    (tmp_path / "lock.txt").write_text(line + "\n")
    words = ["--isolated", "--no-index", "--find-links", tmp_path, "--no-deps", "--target", tmp_path / "out"]
    pip = [sys.executable, "-m", "pip", "install", *words, "--require-hashes", "-r", tmp_path / "lock.txt"]
    done = subprocess.run(
        pip, capture_output=True, text=True, check=False, env={**os.environ, "PIP_CONFIG_FILE": os.devnull}
    )
    assert done.returncode and "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr, done.stderr
    script = (ROOT / "scripts/env.sh").read_text(encoding="utf-8")
    assert "--require-hashes --requirement" in script and "--constraint" not in script
    assert "lock/check" in (ROOT / ".ci/run").read_text()


def test_every_requirement_has_a_lower_bound_and_the_check_takes_it() -> None:
    said = subprocess.run(
        [sys.executable, ROOT / "scripts/check_bounds", "--print"], capture_output=True, text=True, check=True
    )
    lowest = {named(one.name): one for one in map(Requirement, said.stdout.splitlines())}
    for requirement in wanted():
        bounds = [one.version for one in requirement.specifier if one.operator == ">="]
        assert len(bounds) == 1, requirement
        if requirement.name not in ("mypy", "ruff", "skia-python"):
            assert str(lowest[named(requirement.name)].specifier) == f"=={bounds[0]}"
