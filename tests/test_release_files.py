"""What a release and its repository consist of beside the code: citation, workflows, issue forms, the container."""

from __future__ import annotations

import configparser
import io
import os
import re
import runpy
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from imindex import __version__
from tests.support.browser import serving
from tests.support.commands import check_line
from tests.support.installs import build, copy_checkout, tracked, unpack
from tests.support.places import ROOT

CONTAINER = ROOT / "scripts/container/Containerfile"
ALONE = {
    "CHANGELOG.md", "CITATION.cff", "LICENSE", "MANIFEST.in", "README.md", "__init__.py", "__main__.py", "py.typed",
    "pyproject.toml", "setup.cfg",
}  # fmt: skip
"""Files at the top: the package, what pip and GitHub look for there only, and what a reader looks for first.
Everything else has a folder: CONTRIBUTING.md is in docs/, the container in scripts/, workflows in .github/."""
FOLDERS = {"docs", "indexer", "retrieval", "scripts", "stats", "tests"}


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_the_top_level_stays_small() -> None:
    top = {name.split("/")[0] for name in tracked()}
    assert {name for name in top if not name.startswith(".")} == ALONE | FOLDERS


def test_the_version_is_in_one_place_and_repeated_where_a_reader_needs_it() -> None:
    citation = read("CITATION.cff")
    assert str(citation["version"]) == __version__
    assert f"\n## {__version__} (" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    assert config["metadata"]["version"] == "attr: imindex.__version__"


def test_the_citation_has_what_the_format_requires() -> None:
    """The keys that version 1.2.0 of the Citation File Format requires; `cffconvert --validate` knows all of them."""
    citation = read("CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation) and citation[
        "cff-version"
    ] == "1.2.0"
    assert citation["license"] == "Apache-2.0" and citation["type"] == "software"
    for reference in citation["references"]:
        assert {"authors", "title", "type"} <= set(reference)
    authors = [one for reference in citation["references"] for one in reference["authors"]]
    assert all(set(one) == {"given-names", "family-names"} for one in authors) and len(authors) == 8


@pytest.mark.parametrize("name", ["ci", "release"])
def test_workflows_run_pinned_actions_with_few_rights(name: str) -> None:
    text = (ROOT / f".github/workflows/{name}.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    used = re.findall(r"uses: (\S+)(.*)", text)
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) and re.search(r"# v\d", comment), action
    steps = {job: one["steps"] for job, one in workflow["jobs"].items()}
    commands = {job: [step["run"] for step in listed if "run" in step] for job, listed in steps.items()}
    for listed in commands.values():
        for command in listed:
            assert "${{" not in command  # no text from outside becomes a command
            for script in re.findall(r"(?:^|\s)((?:\.ci|scripts)/\S+)", command):
                assert os.access(ROOT / script, os.X_OK), script
    if name == "ci":
        assert ".ci/run" in commands["all"]
    else:
        rights = {job: one.get("permissions", {}) for job, one in workflow["jobs"].items()}
        assert rights == {"build": {}, "publish": {"id-token": "write"}}
        assert commands["publish"] == []  # nothing of this repository runs where the right to publish is


def test_issue_forms_are_what_github_accepts() -> None:
    forms = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
    assert {path.stem for path in forms} == {"bug", "config", "feature", "finding"}
    for path in forms:
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        if path.stem == "config":
            continue
        assert {"name", "description", "body"} <= set(form)
        fields = [one for one in form["body"] if one["type"] != "markdown"]
        assert fields and all(
            one["type"] in ("textarea", "input", "dropdown", "checkboxes") for one in fields
        )
        assert (
            len({one["id"] for one in fields})
            == len({one["attributes"]["label"] for one in fields})
            == len(fields)
        )
        assert all(set(one) <= {"type", "id", "attributes", "validations"} for one in form["body"])


def test_links_of_the_repositorys_own_pages_lead_somewhere() -> None:
    for name in (".github/SECURITY.md", ".github/PULL_REQUEST_TEMPLATE.md", "docs/CONTRIBUTING.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#\s]+)", text):
            assert "://" in link or ((ROOT / name).parent / link).resolve().is_file(), (name, link)


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
def test_scripts_are_correct_bash_and_executable() -> None:
    found = 0
    for name in tracked():
        path = ROOT / name
        if name.startswith(("scripts/", ".ci/")) and path.read_bytes().startswith(b"#!/usr/bin/env bash"):
            subprocess.run(["bash", "-n", path], check=True)
            assert os.access(path, os.X_OK), name
            found += 1
    assert found >= 6


# ------------------------------------------------------------ screenshots


@pytest.fixture(scope="module")
def screenshots() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts/screenshots"))


def test_screenshots_in_the_repository_are_small_and_made_by_the_script(screenshots: dict[str, Any]) -> None:
    made = {
        f"images/{page.name}-{scheme}.png" for page in screenshots["PAGES"] for scheme in page.schemes
    } | {"report.png"}
    for path in [ROOT / "docs/report.png", *(ROOT / "docs/images").glob("*.png")]:
        assert path.relative_to(ROOT / "docs").as_posix() in made, (
            f"{path.name} is not in PAGES of scripts/screenshots"
        )
        with Image.open(path) as image:
            assert image.format == "PNG" and image.mode == "P" and image.size[0] == 1280
        assert path.stat().st_size <= 250_000


def test_a_screenshot_has_the_largest_palette_that_fits(screenshots: dict[str, Any]) -> None:
    def png(picture: Image.Image) -> bytes:
        file = io.BytesIO()
        picture.save(file, format="PNG")
        return file.getvalue()

    rng = np.random.default_rng(1)
    flat = Image.fromarray(np.repeat(np.arange(256, dtype=np.uint8)[None], 64, 0))
    with Image.open(io.BytesIO(screenshots["palette"](png(flat.convert("RGB"))))) as image:
        assert image.mode == "P" and np.array_equal(np.asarray(image.convert("L")), np.asarray(flat))
    noise = Image.fromarray(rng.integers(0, 256, (600, 500, 3), dtype=np.uint8))
    data = screenshots["palette"](png(noise))
    with Image.open(io.BytesIO(data)) as image:
        assert 2 < len(image.getcolors() or ()) < 256 and len(data) <= 250_000
    with pytest.raises(SystemExit, match="Make its window smaller"):
        screenshots["palette"](png(noise.resize((2000, 2000), Image.Resampling.NEAREST).effect_spread(50)))


# ------------------------------------------------------------ the container


def test_the_container_is_built_from_files_and_extras_that_exist() -> None:
    text = CONTAINER.read_text(encoding="utf-8")
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    (extras,) = re.findall(r'"\.\[([\w,]+)\]"', text)
    assert set(extras.split(",")) <= set(config["options.extras_require"])
    copied = [
        line.split()[1] for line in text.splitlines() if line.startswith("COPY ") and "--from" not in line
    ]
    assert copied and all((ROOT / name).exists() for name in copied)
    (python,) = re.findall(r"ARG PYTHON=([\d.]+)", text)
    assert (ROOT / f"scripts/lock/linux-x86_64-py{python.replace('.', '')}.txt").is_file()
    stages = text.split("\nFROM ")
    assert re.search(r"^USER [1-9]\d*$", stages[-1], re.MULTILINE) and "\nHEALTHCHECK " in stages[-1]


def test_commands_of_the_page_on_installation_are_accepted() -> None:
    text = (ROOT / "docs/install.md").read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line.split("#")[0] for block in blocks for line in block.splitlines()]
    found = [line for line in lines if line.startswith("imindex ")]
    found += [
        re.sub(r"^docker run .*? imindex:\w+", "imindex", line)
        for line in lines
        if line.startswith("docker run ")
    ]
    assert len(found) >= 8
    for line in found:
        check_line(line.split(">")[0])


def test_the_context_of_the_container_builds_the_same_wheel(tmp_path: Path) -> None:
    """.dockerignore lists what is sent; a package folder that it forgot would be missing in the image."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    sent = [line[1:] for line in lines if line.startswith("!")]
    whole = copy_checkout(tmp_path / "whole")
    context = tmp_path / "context"
    for name in tracked():
        if any(name == one or name.startswith(f"{one}/") for one in sent):
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, context / name)
    assert not (context / "tests").exists() and not (context / "docs").exists()
    files = []
    for checkout in (whole, context):
        wheel = unpack(build(checkout, "wheel", checkout / "dist"), tmp_path / f"unpacked-{checkout.name}")
        files.append({path.relative_to(wheel).as_posix() for path in wheel.rglob("*") if path.is_file()})
    assert files[0] == files[1]


def test_the_health_check_answers_for_a_service_that_runs_and_one_that_is_lost(
    built: Path, tmp_path: Path
) -> None:
    serve, other = tmp_path / "serve", tmp_path / "other"
    serve.write_bytes(b"python\0/opt/imindex/bin/imindex\0serve\0-i\0a.h5\0")
    other.write_bytes(b"python\0/opt/imindex/bin/imindex\0build\0works\0")

    def check(url: str, command_line: Path) -> int:
        words = [sys.executable, ROOT / "scripts/container/healthcheck.py", url, command_line]
        return subprocess.run(words, check=False, capture_output=True).returncode

    with serving(
        "-i", built, "--trust-encoder", "--device", "cpu", IMINDEX_TOKEN=secrets.token_hex(16)
    ) as served:
        assert served.get("/api/v1/indexes")[0] == 401  # it needs the token, and the health check does not
        assert check(served.url, serve) == 0
        served.kill()
        assert check(served.url, serve) == 1 and check(served.url, other) == 0
