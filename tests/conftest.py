"""Small real fixtures: an open_clip model with random weights, folders of pictures."""

from __future__ import annotations

import importlib.abc
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from imindex.indexer.encoders import registry
from imindex.indexer.encoders.base import Encoder
from imindex.indexer.encoders.load import load
from imindex.indexer.encoders.precision import default_precision
from tests.support.browser import browser, chromium  # noqa: F401 - fixtures
from tests.support.commands import run
from tests.support.models import save_model
from tests.support.objects import proxy, quick_requests, s3, store_in_environment  # noqa: F401 - fixtures
from tests.support.pictures import picture
from tests.support.pictures_only import MODULE, NAME
from tests.support.precision import CHOICES, VARIABLE, force


class TopLevelNames(importlib.abc.MetaPathFinder):
    """Refuse `import indexer`: with the root on the path it would load a second copy that no test patches."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in ("indexer", "retrieval", "stats"):
            raise ImportError(f"import imindex.{name} instead")


sys.meta_path.insert(0, TopLevelNames())


def pytest_addoption(parser: pytest.Parser) -> None:
    text = f"What --precision auto resolves to on the CPU, whatever the processor is (default: ${VARIABLE})."
    parser.addoption("--precision-auto", choices=CHOICES, help=text)
    parser.addoption("--all", action="store_true", help="run the tests marked slow as well")
    parser.addoption("--clusters", action="store_true", help="run the tests marked clusters as well")


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault("IMINDEX_DEBUG", "1")  # no file per unexpected exception
    force(config.getoption("--precision-auto"))


def pytest_report_header() -> str:
    return f"precision auto on the CPU: {default_precision(torch.device('cpu'))}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests marked slow, except with --all, and those marked clusters, except with --clusters."""
    for mark, option in (("slow", "--all"), ("clusters", "--clusters")):
        if not config.getoption(option):
            config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker(mark)])
            items[:] = [item for item in items if not item.get_closest_marker(mark)]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a tiny model with random weights, as passed to `--model`."""
    return f"local-dir:{save_model(tmp_path_factory.mktemp('model'))}"


@pytest.fixture(scope="session")
def tiny_encoder(tiny_model: str) -> Encoder:
    return load(tiny_model, device="cpu", precision="fp32")


@pytest.fixture(scope="session")
def pictures_only() -> Iterator[str]:
    """The name of a tiny model without a text side, as passed to `--model`; its back end is registered meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.BACKENDS, NAME, MODULE)
        yield NAME


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Limit threads: on tiny models two threads spend more time waiting than computing, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep pipelines between runs, to save time."""
    from tests.support.generating import load_once

    load_once(monkeypatch)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that returns the folder of a pipeline of a kind, created once."""
    from tests.support.pipelines import save_pipeline

    folder = tmp_path_factory.mktemp("models")

    def made(kind: str) -> Path:
        if kind == "sd3" and int(transformers.__version__.partition(".")[0]) < 5:
            pytest.skip("the tokenizer of this tiny pipeline is made with transformers 5")
        return folder / kind if (folder / kind).exists() else save_pipeline(folder / kind, kind=kind)

    return made


@pytest.fixture
def make(model: Callable[[str], Path], tmp_path: Path) -> Callable[..., Any]:
    """Return a function that generates into the test's folder, with two steps per picture, on the CPU."""
    from tests.support.generating import maker

    return maker(model, tmp_path)


@pytest.fixture
def works(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that draws a tree of pictures below the test's folder."""

    def draw(layout: dict[str, int], root: str = "art", first_seed: int = 0) -> Path:
        seed = first_seed
        for folder, count in layout.items():
            (tmp_path / root / folder).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                picture(seed).save(tmp_path / root / folder / f"{number:03d}.png")
                seed += 1
        return tmp_path / root

    return draw


@pytest.fixture(scope="session")
def optimized(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An index file of each kind, approximate and exact, over the same vectors; do not modify."""
    from tests.support.approximate import one_of_each

    return one_of_each(tmp_path_factory.mktemp("optimized"))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> Path:
    """An index of a small tree of pictures; do not modify."""
    folder = tmp_path_factory.mktemp("built")
    layout = {"works/ada": 3, "works/bo": 3, "imitations/r1/ada": 3, "imitations/r1/bo": 3, "control": 2}
    seed = 0
    for name, count in layout.items():
        (folder / "art" / name).mkdir(parents=True)
        for number in range(count):
            picture(seed).save(folder / "art" / name / f"{number}.png")
            seed += 1
    words = ("--model", tiny_model, "--precision", "fp32", "--device", "cpu")
    run("build", folder / "art", "-i", folder / "i.h5", *words)
    return folder / "i.h5"


@pytest.fixture(scope="session")
def two_releases(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> Path:
    """A folder with the pictures of `tests.support.two_releases` and their index, i.h5; do not modify."""
    from tests.support.two_releases import build_index, draw

    folder = tmp_path_factory.mktemp("compare")
    draw(folder)
    build_index(folder, "i.h5", folder / "works", folder / "both.jsonl", model=tiny_model)
    return folder
