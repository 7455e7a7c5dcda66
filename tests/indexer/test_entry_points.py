"""Back ends of other packages: the package of ENCODERS.md, built and used, and metadata that is refused."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imindex.indexer.core.errors import ImindexError, NoEncoder
from imindex.indexer.core.package import is_package
from imindex.indexer.core.schema import EncoderInfo
from imindex.indexer.doctor.machine import back_ends
from imindex.indexer.encoders import registry
from imindex.indexer.encoders.load import load, load_as
from imindex.indexer.encoders.plugins import _plugins, plugins
from imindex.indexer.encoders.registry import backend, knows, name_for
from imindex.indexer.store.index import Index
from imindex.indexer.system.child_process import how_it_ended, python
from tests.support.commands import run
from tests.support.forging import with_encoder
from tests.support.installs import build, unpack
from tests.support.places import ROOT, child_environment

PAGE = ROOT / "indexer" / "encoders" / "ENCODERS.md"
DRIVER = """
import json, sys
from tests.support.commands import run
from imindex.indexer.encoders.registry import knows
index, folder, trace = sys.argv[1:]
run("--help")
run("build", "--help")
assert "imindex_mean_colour" not in sys.modules
run("build", folder, "-i", index, "--model", "mean-colour", "--device", "cpu")
assert "imindex_mean_colour" in sys.modules
red = folder + "/works/ada/0.png"
said = {
    "query": json.loads(run("query", red, "-i", index, "-k", 3, "--json").stdout),
    "match": json.loads(run("match", "-i", index, "--json").stdout),
    "doctor": json.loads(run("doctor", "-i", index, "--device", "cpu", "--json").stdout),
    "info": json.loads(run("info", "-i", index, "--json").stdout),
    "known": [knows("mean-colour", None), knows("mean-colour:other", None), knows("mean-colour", "w.pt")],
}
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the page: its file and its metadata, as a user writes them."""
    folder = tmp_path_factory.mktemp("project")
    text = PAGE.read_text(encoding="utf-8")
    for kind, name in (("python", "imindex_mean_colour.py"), ("toml", "pyproject.toml")):
        (source,) = re.findall(rf"^```{kind}\n(.*?)^```$", text, re.M | re.S)
        (folder / name).write_text(source, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def installed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is installed to, as pip does: its wheel, unpacked."""
    folder = tmp_path_factory.mktemp("installed")
    return unpack(build(project, "wheel", folder / "wheel"), folder / "site")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Works and imitations of two artists, one red and one blue."""
    folder = tmp_path_factory.mktemp("pictures")
    noise = np.random.default_rng(0)
    for kind in ("works", "imitations/r1"):
        for artist, colour in {"ada": (200, 30, 30), "bo": (30, 60, 200)}.items():
            (folder / kind / artist).mkdir(parents=True)
            for number in range(6):
                pixels = np.clip(colour + noise.integers(-25, 26, (32, 32, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / kind / artist / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def index(installed: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index that another process, where the package is installed, built and used; `said.json` has its answers."""
    path = tmp_path_factory.mktemp("indexes") / "i.h5"
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(path), str(pictures), str(path.parent)],
        env=child_environment(PYTHONPATH=":".join([str(installed), str(ROOT), *filter(None, sys.path)])),
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path.parent / "said.json").write_text(done.stdout.splitlines()[-1], encoding="utf-8")
    return path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Install a package: write its metadata, and modules given as names and sources."""

    def write(name: str, entries: dict[str, str], version: str = "1.0", **modules: str) -> Path:
        site = tmp_path / "site"
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = [f"{key} = {value}" for key, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(["[imindex.encoders]", *lines, ""]))
        for module, source in modules.items():
            (site / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(str(site))
        _plugins.cache_clear()
        return site

    return write


def test_pip_installs_the_same_files(project: Path, installed: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("pip") is None:
        pytest.skip("pip is not installed")
    words = [
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--target",
        str(tmp_path / "t"),
    ]
    subprocess.run([sys.executable, "-m", "pip", *words, str(project)], check=True, capture_output=True)
    for pattern in ("*.py", "*.dist-info/METADATA", "*.dist-info/entry_points.txt"):
        (ours,), (pips,) = installed.glob(pattern), (tmp_path / "t").glob(pattern)
        assert ours.relative_to(installed) == pips.relative_to(tmp_path / "t")
        assert ours.read_bytes() == pips.read_bytes()


def test_every_command_finds_the_encoder_of_an_installed_package(index: Path) -> None:
    said = json.loads((index.parent / "said.json").read_text())
    found = said["query"]["queries"][0]["kinds"]["works"]
    assert found["artists"][0]["artist"] == "ada" and found["pictures"][0]["cosine"] == pytest.approx(
        1, abs=1e-3
    )
    assert {one["artist"]: one["auc"] for one in said["match"]["artists"]} == {"ada": 1, "bo": 1}
    checks = {check["name"]: check for check in said["doctor"]["checks"]}
    assert said["doctor"]["counts"]["fault"] == 0
    assert "mean-colour of imindex-mean-colour 1.2" in checks["back ends"]["said"]
    assert {"encoder", "vectors", "batches", "stored vectors"} <= set(checks)
    assert said["info"]["encoder"]["package"] == "imindex-mean-colour 1.2"
    assert said["known"] == [True, False, False]


def test_the_package_is_recorded_and_no_part_of_the_identity(index: Path) -> None:
    with Index(index) as opened:
        info, log = opened.encoder, opened.log()
    assert info.package == "imindex-mean-colour 1.2"
    assert info.identity() == replace(info, package="").identity()
    assert json.loads(log[0]["versions"])["computed-by"].endswith(", imindex-mean-colour 1.2")
    assert "imindex-mean-colour 1.2" in run("info", "-i", index).output


def test_where_the_package_is_missing_the_error_names_it(index: Path, pictures: Path) -> None:
    with Index(index) as opened:
        info = opened.encoder
    message = (
        r"made with the back end mean-colour of the package imindex-mean-colour 1\.2, which is not installed here\. "
        r"If you trust that package, install it \(pip install imindex-mean-colour\); otherwise build a new index\."
    )
    with pytest.raises(ImindexError, match=message):
        load_as(info, device="cpu")
    refused = run("query", pictures / "works" / "ada" / "0.png", "-i", index, code=1).output
    assert re.search(message, " ".join(refused.split()))
    said = json.loads(run("match", "-i", index, "--json").stdout)  # needs vectors only
    assert [one["auc"] for one in said["artists"]] == [1, 1]
    with pytest.raises(
        ImindexError, match=r"back end nowhere, and this version of imindex has open_clip.*Update"
    ):
        load_as(replace(info, config={"backend": "nowhere"}, package=""), device="cpu")


def test_child_processes_find_it(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    function = "imindex.indexer.encoders.registry:backend"
    with python(function, "mean-colour") as missing:
        assert how_it_ended_within(missing) == "exit code 1"
    monkeypatch.syspath_prepend(str(installed))
    with python(function, "mean-colour") as process:
        assert how_it_ended_within(process) == "exit code 0"


def how_it_ended_within(process: subprocess.Popen[bytes], seconds: float = 120) -> str:
    process.wait(seconds)
    return how_it_ended(process)


def test_ray_workers_load_it(installed: Path, index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function that a worker runs; workers on one machine have the driver's import path."""
    from imindex.indexer.runners.ray import load_on_worker

    with Index(index) as opened:
        info = opened.encoder
    monkeypatch.syspath_prepend(str(installed))
    encoder = load_on_worker(info, 0, 4, "")
    assert encoder.info == info and encoder.info.package


def test_packages_in_the_current_folder_are_not_read(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(installed)
    for entry in ("", str(installed)):
        monkeypatch.syspath_prepend(entry)
        assert plugins() == () and name_for("mean-colour") == "open_clip"


COLOUR = "imindex_mean_colour"
CLASHES = [
    ("open_clip", r"is defined by imindex itself and other-colours 1\.0, so the name is ambiguous\. Uninstall other-c"),
    ("timm", "timm is defined by imindex itself and other-colours"),
    ("demo", "demo is defined by imindex itself and other-colours"),
    ("local-dir", "local-dir is defined by imindex itself and other-colours"),
    ("convnext_base", r"convnext_base is defined by imindex itself \(a model of open_clip\) and other-colours"),
    ("mine", r"mine is defined by this program \(some.module\) and other-colours"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "message"), CLASHES)
def test_a_name_of_imindex_cannot_be_taken(
    name: str, message: str, package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "BACKENDS", {**registry.BACKENDS, "mine": "some.module"})
    package("other-colours", {name: "other_colours"}, other_colours="raise RuntimeError('imported')")
    for model in (name, f"{name}:x", f"{name}?size=1"):
        with pytest.raises(ImindexError, match=message):
            name_for(model)
        with pytest.raises(ImindexError, match=message):
            load(model, device="cpu")
    check = back_ends(plugins())
    assert check.status == "fault" and re.search(message, check.said)
    assert backend("open_clip").load  # indexes of imindex's own back ends are not affected
    assert name_for("ViT-B-32") == "open_clip"


def test_two_packages_with_one_name_are_both_named(package: Callable[..., Path]) -> None:
    package("colours-a", {"colours": "colours_a"})
    package("colours-b", {"colours": "colours_b"}, version="2.0")
    message = r"colours is defined by colours-a 1\.0 and colours-b 2\.0, so the name is ambiguous\. Uninstall colours-b"
    with pytest.raises(ImindexError, match=message):
        load("colours", device="cpu")
    info = EncoderInfo(
        "colours", "", "0" * 64, {"backend": "colours"}, {}, 3, "fp32", package="colours-a 1.0"
    )
    with pytest.raises(ImindexError, match=message):
        load_as(info, device="cpu")


@pytest.mark.parametrize(
    ("name", "value", "source", "message"),
    [
        ("blue", "no_such_module", "", r"1\.0 names the module no_such_module for the back end blue, and"),
        ("blue", "blue_", "raise ValueError('broken')", r"blue of blues 1\.0 cannot be imported: ValueError: broken"),
        ("blue", "blue_", "import sys; sys.exit(3)", r"blue of blues 1\.0 cannot be imported: SystemExit: 3\."),
        ("blue", "blue_", "1 +", r"blue of blues 1\.0 cannot be imported: SyntaxError"),
        ("blue", "blue_", "import no_such_library_anywhere", r"needs no_such_library_anywhere, which is not installed"),
        ("blue", "blue_", "x = 1", r"names the module blue_ for the back end blue, which defines no load\. Tell"),
        ("blue", "blue_:load", "", r"names 'blue_:load' for the back end blue, which is not the full"),
        ("blue", "blue_ [extra]", "", "which is not the full name of a module"),
        ("blue", "blue_", "def load(*a, **k): raise KeyError('x')", r"blue of blues 1\.0 failed: KeyError: 'x'\."),
        ("blue", "blue_", "def load(*a, **k): return None", "The back end blue returned no encoder"),
        ("Blue", "blue_", "", r"names a back end 'Blue'\. A name has two or more lower-case letters"),
        ("c", "blue_", "", r"names a back end 'c'\. A name has two"),
    ],
)  # fmt: skip
def test_faulty_packages_are_named(
    name: str, value: str, source: str, message: str, package: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    package("blues", {name: value}, blue_=source)
    monkeypatch.delitem(sys.modules, "blue_", raising=False)
    with pytest.raises(ImindexError, match=message):
        load(f"{name}:x", device="cpu")


TRUSTING = """
from pathlib import Path
def knows(model, pretrained):
    return True
def load(model, pretrained, **kwargs):
    Path(MARK).write_text(f"{model} {pretrained}")
    raise ValueError("loaded")
"""


def test_an_index_makes_no_plugin_load_a_file_of_its_choice(
    package: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark"
    package("blues", {"blue": "blue_"}, blue_=TRUSTING.replace("MARK", repr(str(mark))))
    monkeypatch.delitem(sys.modules, "blue_", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pt").write_bytes(b"")
    info = EncoderInfo("blue", "", "0" * 64, {"backend": "blue"}, {}, 3, "fp32", package="blues 1.0")
    for model, pretrained in (
        ("blue:/etc/passwd", ""), ("blue:weights.pt", ""), ("blue", "weights.pt"), ("blue", "/tmp/w.pt"),
        ("blue:../w", ""), ("blue:local-dir:x", ""), ("blue:https://host/w", ""), ("blue:org/repo", ""),
        ("blue:a\\b", ""), ("blue:~", ""), ("blue:weights.pt?x=1", ""), ("blue", "."),
    ):  # fmt: skip
        assert not knows(model, pretrained or None), (model, pretrained)
        with pytest.raises(NoEncoder, match="which is not one of the names that imindex knows"):
            load_as(replace(info, model=model, pretrained=pretrained), device="cpu")
    assert not mark.exists()
    with pytest.raises(NoEncoder, match=r"blue of blues 1\.0 failed: ValueError: loaded"):
        load_as(
            replace(info, model="blue:large"), device="cpu"
        )  # a name, which the back end says that it knows
    assert mark.read_text() == "blue:large None"


def test_an_index_names_no_command_line_for_a_package(index: Path, tmp_path: Path) -> None:
    for text in ("x; rm -r ~", "-r evil.txt", "a b c", "git+https://host/x", "a\nb", "a" * 201):
        assert not is_package(text)
        foreign = with_encoder(index, tmp_path / "foreign.h5", package=text)
        with pytest.raises(ImindexError, match=r"package .* is not the name of a package and its version"):
            Index(foreign).close()
        foreign.unlink()


def test_a_package_without_metadata_works_and_is_not_recorded(
    package: Callable[..., Path], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (project / "imindex_mean_colour.py").read_text().replace('NAME = "mean-colour"', 'NAME = "blue"')
    site = package("blues", {"blue": "blue_"}, blue_=source)
    monkeypatch.delitem(sys.modules, "blue_", raising=False)
    for metadata in ("Metadata-Version: 2.1\n", None):
        (site / "blues-1.0.dist-info" / "METADATA").unlink()
        if metadata:
            (site / "blues-1.0.dist-info" / "METADATA").write_text(metadata)
        uncached = _plugins.__wrapped__((str(site),))
        assert [one.package for one in uncached] == ["(a package without a valid name and version)"]
    _plugins.cache_clear()
    assert load("blue", device="cpu").info.package == ""


def test_a_package_that_is_on_the_path_twice_counts_once(
    package: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = package("blue-greens", {"blue": "blue_"}, version="1.0")
    older = tmp_path / "older" / "Blue.Greens-0.9.dist-info"
    older.mkdir(parents=True)
    (older / "METADATA").write_text("Metadata-Version: 2.1\nName: Blue.Greens\nVersion: 0.9\n")
    (older / "entry_points.txt").write_text("[imindex.encoders]\nblue = blue_\n")
    monkeypatch.setattr(sys, "path", [str(site), *sys.path, str(older.parent)])
    assert [(one.name, one.package) for one in plugins()] == [("blue", "blue-greens 1.0")]
