"""Completion in shells: the scripts, and the names of an index."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.support.commands import run
from tests.support.places import ROOT, child_environment


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell(shell: str, tmp_path: Path) -> None:
    script = run("completion", shell).stdout
    assert f"_IMINDEX_COMPLETE={shell}_complete" in script and "imindex" in script
    if program := shutil.which(shell):
        (tmp_path / "script").write_text(script)
        subprocess.run([program, "-n", tmp_path / "script"], check=True, timeout=20)
    assert f"imindex completion {shell} >" in run("completion", "--help").stdout


def complete(words: str, cwd: Path = ROOT, **environment: str) -> list[str]:
    """Ask as the script for bash does, with the last word incomplete."""
    code = "import sys; from imindex import main; main(prog_name='imindex')"
    done = subprocess.run(
        [sys.executable, "-c", f"try:\n exec({code!r})\nfinally:\n print(sorted(sys.modules), file=sys.stderr)"],
        env=child_environment(
            _IMINDEX_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(words.count(" ")), **environment
        ),
        cwd=cwd, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    heavy = {"torch", "faiss", "open_clip", "pyarrow", "PIL", "scipy", "rich"}
    assert heavy & {word.strip("'[], \n") for word in done.stderr.split()} == set()  # too slow for a shell
    assert "Traceback" not in done.stderr
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_names_come_from_the_index(built: Path, tmp_path: Path) -> None:
    assert complete(f"imindex remove -i {built} --artist ") == ["ada", "bo"]
    assert complete(f"imindex remove -i {built} --collection r") == ["r1"]
    assert complete("imindex match --collection ", IMINDEX_INDEX=str(built)) == ["r1"]
    assert complete("imindex query --collection ", IMINDEX_INDEX=str(built)) == ["control", "r1", "works"]
    assert complete(f"imindex compare -i {built} w") == ["w"]  # any file, no works
    assert complete("imindex query --artist b", IMINDEX_INDEX=str(built)) == ["bo"]
    assert complete(f"imindex compare -i {built} r") == ["r1"]
    for no_index in (tmp_path / "none.h5", tmp_path, ROOT / "README.md"):
        assert complete(f"imindex remove -i {no_index} --artist ") == []


def test_commands_and_options_are_completed() -> None:
    assert complete("imindex ver") == ["verify"]
    assert complete("imindex verify --repl") == ["--replay"]
    assert complete("imindex audit con") == ["confirm"]
    assert complete("imindex completion f") == ["fish"]
    assert complete("imindex serv") == ["serve"]
    assert complete("imindex serve --no") == ["--no-pictures"]
    assert complete("imindex encoders comp") == ["compare"]


def test_plans_and_audits_are_completed(built: Path, tmp_path: Path) -> None:
    (tmp_path / "one-audit").mkdir()
    for name in (
        "plan.toml",
        "old.json",
        "picture.png",
        "init.toml",
        "one-audit/report.json",
        "one-audit/p.toml",
    ):
        (tmp_path / name).write_text("{}")
    assert complete("imindex audit pl", tmp_path) == ["plan.toml"]
    assert complete("imindex audit init", tmp_path) == ["init", "init.toml"]
    assert complete("imindex audit one-audit/", tmp_path) == ["one-audit/p.toml"]
    assert complete("imindex audit nothing", tmp_path) == ["nothing"]  # any file
    assert "--dry-run" in complete("imindex audit plan.toml --", tmp_path)
    assert complete("imindex compare ", tmp_path) == ["old.json", "one-audit"]
    assert complete(f"imindex compare -i {built} ", tmp_path) == ["old.json", "one-audit", "r1"]


def test_names_take_less_than_a_second(built: Path) -> None:
    spent = []
    for _ in range(3):
        before = os.times()
        complete(f"imindex remove -i {built} --artist ")
        after = os.times()
        spent.append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )
    assert min(spent) < 1.0


NAMES = ("Ken Example", "Ada (the) O'Hara", "Bo, Sample", 'Cy: a "b" $c', "Cy: d", "plain")


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> Path:
    """A folder with an index of odd names, and a command `imindex` for shells in bin/."""
    folder = tmp_path_factory.mktemp("named names")
    for n, name in enumerate(NAMES):
        (folder / "art/works" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32), (40 * n, 9, 90)).save(folder / "art/works" / name / "a.png")
    run("build", folder / "art", "-i", folder / "i.h5", "--model", tiny_model, "--device", "cpu")
    (folder / "bin").mkdir()
    command = folder / "bin/imindex"
    command.write_text(f"""#!/bin/sh
if [ -n "$_IMINDEX_COMPLETE" ]; then "{sys.executable}" -m imindex; touch "{folder}/asked"; else
printf '%s\\n' "$@" > "{folder}/new" && mv "{folder}/new" "{folder}/shown"; fi
""")
    command.chmod(0o755)
    for shell in ("bash", "zsh", "fish"):
        (folder / f"script.{shell}").write_text(run("completion", shell).stdout)
    return folder


def shell_environment(folder: Path) -> dict[str, str]:
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    more = {"IMINDEX_INDEX": str(folder / "i.h5"), "HOME": str(folder), "ZDOTDIR": str(folder)}
    return child_environment(PATH=path, TERM="dumb", **more)


def typed(shell: list[str], before: str, keys: str, folder: Path) -> list[str]:
    """Type a line and Tab in an interactive shell; return the arguments with which the shell then runs imindex."""
    terminal, side = os.openpty()
    (out := folder / "shown").unlink(missing_ok=True)
    process = subprocess.Popen(
        shell, stdin=side, stdout=side, stderr=side, cwd=folder, env=shell_environment(folder), start_new_session=True
    )  # fmt: skip
    os.close(side)
    heard, steps = b"", [(b"", before), (b"READY\r", f"{keys}\t"), (None, "\n")]
    end = time.monotonic() + 60
    try:
        while not out.exists() and time.monotonic() < end:
            if steps and ((steps[0][0] is not None and steps[0][0] in heard) or (folder / "asked").exists()):
                os.write(terminal, f"{steps.pop(0)[1]}".encode())
            if select.select([terminal], [], [], 0.05)[0]:
                heard += os.read(terminal, 65536)
        assert out.exists(), heard
        return out.read_text().splitlines()
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
        (folder / "asked").unlink(missing_ok=True)


KEYS = (
    ("Ken", "Ken Example"), ("Ken\\ E", "Ken Example"), ('"Ken E', "Ken Example"), ("'Ken", "Ken Example"),
    ("Ada", "Ada (the) O'Hara"), ('"Ada (', "Ada (the) O'Hara"), ("'Ada", "Ada (the) O'Hara"), ("Bo", "Bo, Sample"),
    ("Cy:\\ a", 'Cy: a "b" $c'), ('"Cy: a', 'Cy: a "b" $c'), ("pl", "plain"),
)  # fmt: skip


@pytest.mark.parametrize(("keys", "name"), KEYS)
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_passes_the_whole_name(shell: str, keys: str, name: str, named: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    bash = shell == "bash"
    start = "" if bash else "autoload -Uz compinit; compinit -u -D; "
    before = f"{start}. ./script.{shell}; echo REA''DY\n"
    words = [shell, "--norc", "--noprofile", "-i"] if bash else [shell, "-f", "-i"]
    assert typed(words, before, f"imindex remove --artist {keys}", named) == ["remove", "--artist", name]


def test_bash_completes_after_an_equals_sign(named: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    shell, before = ["bash", "--norc", "--noprofile", "-i"], ". ./script.bash; echo REA''DY\n"
    assert typed(shell, before, "A=1 imindex remove --artist=Ken", named) == [
        "remove",
        "--artist=Ken Example",
    ]


def test_fish_offers_the_whole_name(named: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    for keys, name in (("Ken", "Ken Example"), ("Bo", "Bo, Sample"), ("Ada", "Ada (the) O'Hara")):
        script = f"source script.fish; complete -C 'imindex remove --artist {keys}'"
        done = subprocess.run(
            ["fish", "--no-config", "-c", script],
            cwd=named, env=shell_environment(named), capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.stdout.splitlines() == [name], done.stderr
