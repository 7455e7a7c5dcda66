"""The documentation: every command that a page shows exists with its options, and the site builds without a warning."""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from imindex.indexer.terminal.front import COMMANDS
from imindex.retrieval.audit.plan import read_plan
from imindex.retrieval.compare.gate import parse
from tests.support.browser import Browser
from tests.support.places import ROOT, child_environment

PAGES = sorted([*(ROOT / "docs").glob("*.md"), *(ROOT / "docs/howto").glob("*.md"), ROOT / "README.md"])
PLANS = [*PAGES, ROOT / "retrieval/AUDITS.md", ROOT / "retrieval/RELEASES.md"]
_TOML = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^ *```(?:sh|bash)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """The lines of a page's shell blocks that run imindex."""
    text = page.read_text(encoding="utf-8")
    lines = "\n".join(_BLOCK.findall(text)).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip().startswith("imindex ")]


def check(words: list[str]) -> None:
    name, arguments = words[0], words[1:]
    command = getattr(importlib.import_module(COMMANDS[name][0]), name)
    context = click.Context(command, info_name=name, resilient_parsing=True)
    while isinstance(command, click.Group) and arguments:
        name, inner, arguments = command.resolve_command(context, arguments)
        assert inner is not None
        command = inner
    command.make_context(str(name), list(arguments), resilient_parsing=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_exists_with_its_options(page: Path) -> None:
    for line in commands(page):
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|;>&")
        lexer.whitespace_split = True
        words = list(lexer)
        words = words[
            : next((place for place, word in enumerate(words) if set(word) <= set("|;>&")), len(words))
        ]
        if len(words) > 1 and not words[1].startswith("-") and words[1].islower():
            try:
                check(words[1:])
            except (click.UsageError, KeyError) as error:
                raise AssertionError(f"{page.name}: {line}: {error}") from error
        for condition in re.findall(r"--fail-if \"([^\"]+)\"", line):
            parse(condition)


def test_conditions_of_plans_on_pages_are_conditions() -> None:
    for page in PAGES:
        for listed in re.findall(r"fail_if = \[(.*?)\]", page.read_text(encoding="utf-8")):
            for condition in re.findall(r'"([^"]+)"', listed):
                parse(condition)


REST_OF_A_PLAN = {
    "artists": '[artists]\ntested = ["Ada Example", "Bo Sample"]',
    "releases": '[[releases]]\nname = "one"\nmodel = "models/one"',
    "encoders": '[[encoders]]\nmodel = "demo"',
}
"""What a page that shows some tables of a plan leaves out."""


def plans(page: Path) -> list[str]:
    """The TOML blocks of a page that are parts of a plan, each with the tables that it lacks."""
    whole = []
    for block in _TOML.findall(page.read_text(encoding="utf-8")):
        rest = [
            text for table, text in REST_OF_A_PLAN.items() if not re.search(rf"^\[+{table}\]", block, re.M)
        ]
        base = re.search(r'^base = "([^"]+)"', block, re.M)
        whole.append("\n".join([block, *rest]).replace('"one"', f'"{base[1]}"' if base else '"one"'))
    return whole


@pytest.mark.parametrize("page", [page for page in PLANS if plans(page)], ids=lambda page: page.stem)
def test_every_plan_of_a_page_can_be_read(page: Path, tmp_path: Path) -> None:
    for place, text in enumerate(plans(page)):
        plan = tmp_path / f"{place}.toml"
        plan.write_text(text, encoding="utf-8")
        for name in re.findall(r'^file = "([^"]+)"', text, re.M):
            (tmp_path / name).write_text(
                "artist,training_images\nAda Example,120\nBo Sample,3\n", encoding="utf-8"
            )
        read_plan(plan)


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_is_searched_from_disk(browser: Browser) -> None:
    pytest.importorskip("furo", reason="the documentation needs pip install 'imindex[docs]'")
    # The command of scripts/docs, in this environment.
    (line,) = re.findall(
        r"^python (-m sphinx .*)$", (ROOT / "scripts/docs").read_text(encoding="utf-8"), re.MULTILINE
    )
    built = ROOT / "docs/_build/html"
    shutil.rmtree(built.parent, ignore_errors=True)
    done = subprocess.run(
        [sys.executable, *line.split()], cwd=ROOT, env=child_environment(HF_HUB_OFFLINE="1", PYTHONWARNINGS="ignore"),
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    for name in ("docs/index.html", "docs/reference/commands.html", "stats/METHODS.html"):
        assert (built / name).is_file()
    broken = [
        f"{page.relative_to(built)} -> {target}"
        for page in built.rglob("*.html")
        for target in re.findall(r'(?:href|src)="([^"#?]+)', page.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:|//", target) and not (page.parent / target).exists()
    ]
    assert not broken, broken[:10]
    browser.expect("file://")
    browser.open((built / "search.html").as_uri() + "?q=placebo")
    browser.wait(lambda: len(browser.find_all("#search-results li")) > 3, "results")
    browser.expect(".*")
