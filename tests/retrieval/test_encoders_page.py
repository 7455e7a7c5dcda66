"""The page of a comparison of encoders: complete, self-contained, and without markup from names."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from imindex.retrieval.protocol.compare import Encoded, compare_indexes
from imindex.retrieval.report.encoders_page import encoders_page
from imindex.retrieval.results import EncoderComparison
from tests.support.works_index import save_works, world

HOSTILE = "<script>alert('x')</script> \"Ada\" & \u202eevil"
ARTISTS = [name for name in (HOSTILE, "Bo Sample", "Cy", "Di", "Em") for _ in range(4)]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> EncoderComparison:
    folder = tmp_path_factory.mktemp("page")
    for name, apart in (("a", 0.3), ("b", 1.5)):
        save_works(folder / f"{name}.h5", world(5, 4, apart=apart, seed=1), ARTISTS, n_imitations=2)
    encoded = [Encoded(f"<b>{name}</b>", folder / f"{name}.h5") for name in "ab"]
    return compare_indexes(encoded, n_resamples=99, command="imindex encoders compare '<i>'")


def test_names_never_become_markup_and_no_request_leaves_the_page(compared: EncoderComparison) -> None:
    page = encoders_page(compared)
    assert "<script" not in page and "<b>" not in page and "<i>'" not in page
    assert "\u202e" not in page and "&lt;script&gt;" in page
    assert "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href)=["'](?!#)""", page)


def test_every_drawing_is_well_formed_and_described(compared: EncoderComparison) -> None:
    drawings = re.findall(r"<svg.*?</svg>", encoders_page(compared), re.DOTALL)
    assert len(drawings) == 6
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        title, description = root[0], root[1]
        assert title.tag == "title" and title.text and description.tag == "desc" and description.text
        assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"


def test_every_figure_and_artist_is_on_the_page(compared: EncoderComparison) -> None:
    page = encoders_page(compared)
    for encoder in compared.encoders:
        value = encoder.figures.map.value
        assert value is not None and f"{value:.3f}" in page
    for artist in ("Bo Sample", "Cy", "Di", "Em"):
        assert f"<bdi>{artist}</bdi>" in page
    assert compared.works.works_sha256 in page
    assert "Imitations were present." in page and "no imitation in any index" not in page


def test_a_single_encoder_has_a_page_without_differences(tmp_path: Path) -> None:
    save_works(tmp_path / "a.h5", world(5, 4, seed=2), ARTISTS)
    page = encoders_page(compare_indexes([Encoded("a", tmp_path / "a.h5")], n_resamples=99))
    assert "nothing to choose" in page and "Differences of mean" not in page
    assert len(re.findall("<svg", page)) == 4
    assert "no imitation in any index" in page
