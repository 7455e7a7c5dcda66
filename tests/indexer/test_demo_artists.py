"""The artists of the demo: repeatable, alike in subject and palette, distinguished only by technique."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from imindex.indexer.demo.artists import GENERIC, NAMES, PALETTES, SUBJECTS, Sitting, draw, sitting, technique

SMALL = 64


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture, dtype=np.float32) / 255


def test_names_are_distinct_and_safe_to_use_as_captions_and_folders() -> None:
    assert len(NAMES) == len(set(NAMES)) == 24
    words = [word for name in NAMES for word in name.split()]
    assert len(words) == len(set(words)), "no word may give two artists away at once"
    assert all(name.isascii() and name.replace(" ", "").replace("-", "").isalpha() for name in NAMES)
    assert GENERIC not in NAMES
    assert len({technique(name) for name in (*NAMES, GENERIC)}) == 25


def test_subjects_are_short_lower_case_nouns() -> None:
    assert len(set(SUBJECTS)) == len(SUBJECTS) >= 10
    assert all(subject.isalpha() and subject.islower() for subject in SUBJECTS)


@pytest.mark.parametrize("palette", PALETTES)
def test_palettes_run_from_light_to_dark(palette: str) -> None:
    colours = np.asarray(PALETTES[palette])
    assert colours.shape == (6, 3)
    lightness = colours @ [0.2126, 0.7152, 0.0722]
    assert lightness[0] > 200 and lightness[-1] < 64
    assert np.all(np.diff(lightness) < 0)


@pytest.mark.parametrize("artist", [*NAMES, None])
def test_draw_is_repeatable_and_depends_on_its_seed(artist: str | None) -> None:
    first = draw(artist, seed=3, size=SMALL)
    assert first.mode == "RGB" and first.size == (SMALL, SMALL)
    assert first.tobytes() == draw(artist, seed=3, size=SMALL).tobytes()
    chosen = sitting(artist, 3)
    same_brief = draw(artist, seed=4, size=SMALL, subject=chosen.subject, palette=chosen.palette)
    assert np.abs(pixels(first) - pixels(same_brief)).mean() > 0.02


def test_draw_gives_the_same_bytes_in_another_process() -> None:
    code = (
        "import hashlib; from imindex.indexer.demo.artists import draw, NAMES\n"
        "print(hashlib.sha256(b''.join(draw(n, seed=9, size=32).tobytes() for n in NAMES)).hexdigest())"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = hashlib.sha256(b"".join(draw(name, seed=9, size=32).tobytes() for name in NAMES)).hexdigest()
    assert there.stdout.strip() == here


@pytest.mark.parametrize("size", [32, 33, 100, 300])
def test_draw_returns_the_requested_size(size: int) -> None:
    for artist in (NAMES[0], NAMES[9], NAMES[17], GENERIC):
        assert draw(artist, seed=1, size=size).size == (size, size)


def test_draw_gives_the_same_picture_at_every_size() -> None:
    for artist in NAMES:
        small = pixels(draw(artist, seed=2, size=64).resize((16, 16), Image.Resampling.BOX))
        large = pixels(draw(artist, seed=2, size=192).resize((16, 16), Image.Resampling.BOX))
        assert np.abs(small - large).mean() < 0.06, artist


@pytest.mark.parametrize("subject", SUBJECTS)
def test_every_technique_can_draw_every_subject(subject: str) -> None:
    for number, artist in enumerate((*NAMES, None)):
        palette = tuple(PALETTES)[number % len(PALETTES)]
        picture = pixels(draw(artist, seed=number, size=32, subject=subject, palette=palette))
        assert picture.std() > 0.03, f"{artist} left {subject} blank"


def test_generic_and_none_are_the_same_technique() -> None:
    assert draw(None, seed=5, size=32).tobytes() == draw(GENERIC, seed=5, size=32).tobytes()


def test_series_is_repeatable_and_covers_subjects_and_palettes_evenly() -> None:
    assert sitting(NAMES[0], 7) == sitting(NAMES[0], 7)
    assert isinstance(sitting(NAMES[0], 7), Sitting)
    drawn = [sitting(name, seed) for name in NAMES for seed in range(100)]
    for field, kinds in (("subject", SUBJECTS), ("palette", tuple(PALETTES))):
        counts = np.array([sum(getattr(s, field) == kind for s in drawn) for kind in kinds])
        expected = len(drawn) / len(kinds)
        assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected)), field


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"artist": "Nobody Inparticular"}, "artist"),
        ({"subject": "submarine"}, "subject"),
        ({"palette": "beige"}, "palette"),
        ({"size": 31}, "size 31"),
        ({"size": 4096}, "size 4096"),
    ],
)
def test_draw_errors_name_the_problem_and_the_choices(wrong: dict[str, str | int], said: str) -> None:
    order: dict[str, object] = {"artist": NAMES[0], "seed": 1, "size": 32} | wrong
    artist = order.pop("artist")
    with pytest.raises(ValueError, match=rf"{said}.*Choose"):
        draw(artist, **order)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def gallery() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Twelve small pictures of each artist, their artists, and which of them are used for training."""
    count = 12
    pictures = [pixels(draw(name, seed=500 + s, size=SMALL)) for name in NAMES for s in range(count)]
    artists = np.repeat(np.arange(len(NAMES)), count)
    return np.stack(pictures), artists, np.tile(np.arange(count) < 8, len(NAMES))


def test_mean_colour_does_not_identify_the_artist(
    gallery: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    pictures, artists, train = gallery
    colour = pictures.mean(axis=(1, 2))
    for judge in (KNeighborsClassifier(5), LinearDiscriminantAnalysis()):
        judge.fit(colour[train], artists[train])
        assert judge.score(colour[~train], artists[~train]) < 0.15, "chance is 1 in 24, 0.042"


def test_the_technique_identifies_the_artist(gallery: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Grey-level spectra only, independent of colour, lightness, contrast and position."""
    pictures, artists, train = gallery
    grey = pictures.mean(axis=3)
    grey = grey - grey.mean(axis=(1, 2), keepdims=True)
    grey /= grey.std(axis=(1, 2), keepdims=True)
    window = np.outer(np.hanning(SMALL), np.hanning(SMALL))
    power = np.fft.fftshift(np.log1p(np.abs(np.fft.fft2(grey * window)) ** 2), axes=(1, 2))
    coarse = power.reshape(-1, 32, 2, 32, 2).mean(axis=(2, 4))[:, :, 16:].reshape(len(power), -1)
    judge = make_pipeline(StandardScaler(), PCA(50, random_state=0), LinearDiscriminantAnalysis())
    judge.fit(coarse[train], artists[train])
    assert judge.score(coarse[~train], artists[~train]) > 0.6
