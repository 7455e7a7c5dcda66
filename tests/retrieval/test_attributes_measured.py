"""Measured attributes, on pictures for which the right value is known."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from imindex.retrieval.attributes.catalogue import ATTRIBUTES, BY_KEY, GROUPS, KEYS
from imindex.retrieval.attributes.measure import (
    MOST_ASPECT,
    SIDES,
    lab,
    line_width,
    measure,
    otsu,
    spectral_slope,
    working_side,
    working_size,
)

SIDE = 192


def values(pixels: np.ndarray) -> dict[str, float]:
    return dict(zip(KEYS, measure(pixels).tolist(), strict=True))


def grey(levels: np.ndarray) -> np.ndarray:
    return np.repeat(np.clip(np.rint(levels), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def stripes(width: float, degrees: float, side: int = SIDE, low: int = 0, high: int = 255) -> np.ndarray:
    """Stripes whose edges run at `degrees` from the vertical."""
    y, x = np.mgrid[:side, :side]
    t = np.deg2rad(degrees)
    return grey(np.where((x * np.cos(t) + y * np.sin(t)) // width % 2 == 0, low, high))


def noise_with_slope(slope: float, seed: int) -> np.ndarray:
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None])
    frequency[0, 0] = 1
    spectrum = np.fft.fft2(np.random.default_rng(seed).normal(size=(SIDE, SIDE))) * frequency ** (slope / 2)
    field = np.fft.ifft2(spectrum).real
    return 50 + 12 * field / field.std()


def painting(seed: int = 0, side: int = 384) -> np.ndarray:
    """A smooth coloured picture with shapes, for tests of invariance."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(40, 220, (6, 6, 3), dtype=np.uint8))
    field = np.asarray(small.resize((side, side), Image.Resampling.BICUBIC)).copy()
    y, x = np.mgrid[:side, :side] / side
    for _ in range(12):
        cx, cy, r = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.03, 0.15)
        field[(x - cx) ** 2 + (y - cy) ** 2 < r * r] = rng.integers(0, 256, 3)
    return field


def resized(pixels: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))


def test_the_catalogue_and_the_measures_have_the_same_attributes() -> None:
    assert measure(painting(side=64)).shape == (len(ATTRIBUTES),)
    assert len(set(KEYS)) == len(KEYS) and {attribute.group for attribute in ATTRIBUTES} == set(GROUPS)
    for attribute in ATTRIBUTES:
        assert attribute.low != attribute.high and attribute.formula.endswith(".")


def test_sentences_compare_two_values() -> None:
    darker = BY_KEY["lightness"].compared(40.0, 52.04, "the works")
    assert darker == "The picture is darker than the works (40.0 against 52.0 of 100)."
    assert "warmer" in BY_KEY["warmth"].compared(0.5, -0.2, "the works")
    assert (
        BY_KEY["lightness"].compared(40.01, 40.0, "the works").startswith("In lightness, the picture is like")
    )


def test_lab_agrees_with_opencv() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    expected = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    assert np.abs(lab(pixels) - expected).max() < 0.4  # OpenCV interpolates in tables


def test_otsu_agrees_with_opencv() -> None:
    rng = np.random.default_rng(2)
    levels = (
        np.concatenate([rng.normal(60, 10, 3000), rng.normal(180, 15, 1000)]).clip(0, 255).astype(np.uint8)
    )
    expected, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)
    assert ((levels > expected) == (levels > otsu(levels.astype(np.float64)))).all()


@pytest.mark.parametrize("level", [0, 60, 128, 255])
def test_a_blank_picture_has_finite_values(level: int) -> None:
    found = values(grey(np.full((64, 64), level)))
    assert all(np.isfinite(value) for value in found.values())
    assert found["contrast"] == pytest.approx(0, abs=1e-9) and found["colours"] == pytest.approx(1)
    assert found["empty"] == 100 and found["edges"] == 0 and found["hues"] == 0 and found["line_width"] == 100
    assert found["slope"] == pytest.approx(0, abs=0.2) and found["symmetry"] == 1
    assert found["weight_height"] == pytest.approx(50) and found["centring"] == pytest.approx(1)


def test_a_ramp_has_the_mean_and_spread_of_its_lightness() -> None:
    levels = np.tile(np.linspace(0, 255, SIDE), (SIDE, 1))
    found = values(grey(levels))
    luminance = np.rint(np.linspace(0, 255, SIDE)) / 255
    linear = np.where(luminance <= 0.04045, luminance / 12.92, ((luminance + 0.055) / 1.055) ** 2.4)
    star = np.where(linear > (6 / 29) ** 3, 116 * np.cbrt(linear) - 16, linear * (29 / 3) ** 3)
    assert found["lightness"] == pytest.approx(star.mean(), abs=1e-3)
    assert found["contrast"] == pytest.approx(star.std(), abs=1e-3)
    assert found["chroma"] < 0.05 and found["hues"] == 0
    assert found["verticality"] > 0.999 and found["alignment"] > 0.999  # level lines are vertical


def test_palettes_of_known_colours() -> None:
    red, orange, blue = (200, 40, 30), (230, 150, 40), (40, 70, 200)
    flat = {
        name: np.full((64, 64, 3), colour, np.uint8)
        for name, colour in zip("rob", (red, orange, blue), strict=True)
    }
    warm, cool = values(flat["o"]), values(flat["b"])
    assert warm["warmth"] > 0 > cool["warmth"]
    assert warm["hues"] == pytest.approx(1) and warm["colours"] == pytest.approx(1)
    half = np.concatenate([flat["r"], flat["b"]], axis=1)
    chroma = [values(flat[name])["chroma"] for name in "rb"]
    share = np.array(chroma) / sum(chroma)
    assert values(half)["hues"] == pytest.approx(np.exp(-(share * np.log(share)).sum()))
    assert values(half)["colours"] == pytest.approx(2)
    assert values(half)["chroma"] == pytest.approx(np.mean(chroma))


def test_warmth_is_the_published_formula() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    lightness, a, b = np.moveaxis(lab(pixels), -1, 0)
    h = np.arctan2(b, a)
    expected = (-0.5 + 0.02 * np.hypot(a, b) ** 1.07 * np.cos(h - np.deg2rad(50))).mean()
    assert values(pixels)["warmth"] == pytest.approx(expected) and lightness.shape == (16, 16)


@pytest.mark.parametrize("width", [4, 8, 12])
@pytest.mark.parametrize("degrees", [0, 20, 45, 70, 90])
def test_stripes_of_known_width_and_angle(width: int, degrees: int) -> None:
    found = values(stripes(width, degrees))
    assert found["line_width"] == pytest.approx(100 * width / SIDE, rel=0.15)
    assert found["straightness"] > 0.96 and found["alignment"] > 0.95
    assert found["verticality"] == pytest.approx(np.cos(2 * np.deg2rad(degrees)), abs=0.06)
    assert found["uprightness"] == pytest.approx(np.cos(4 * np.deg2rad(degrees)), abs=0.12)


def test_thin_lines_have_their_width_and_discs_their_radius() -> None:
    lightness = np.full((SIDE, SIDE), 100.0)
    for left in range(10, SIDE - 10, 24):
        lightness[:, left : left + 6] = 0
    assert line_width(lightness) == pytest.approx(100 * 6 / SIDE, rel=0.1)
    y, x = np.mgrid[:SIDE, :SIDE]
    discs = np.full((SIDE, SIDE), 100.0)
    for cy in (48, 144):
        for cx in (48, 144):
            discs[(x - cx) ** 2 + (y - cy) ** 2 < 20**2] = 0
    assert line_width(discs) == pytest.approx(100 * 20 / SIDE, rel=0.05)


def test_circles_have_no_direction() -> None:
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    radius = np.hypot(x, y)
    rings = grey(np.where((radius // 8 % 2 == 0) | (radius > 88), 0, 255))  # all within the picture
    found = values(rings)
    assert found["alignment"] < 0.05 and abs(found["uprightness"]) < 0.1
    assert found["straightness"] > 0.8  # locally, they run in one direction


def test_edges_are_steps_of_ten_in_lightness() -> None:
    assert values(stripes(48, 0, low=100, high=112))["edges"] == 0  # 4.6 L*
    assert values(stripes(48, 0, low=100, high=160))["edges"] > 1  # 23 L*


@pytest.mark.parametrize("slope", [0, -1, -2, -3])
def test_noise_with_a_known_spectrum(slope: int) -> None:
    found = np.mean([spectral_slope(noise_with_slope(slope, seed)) for seed in range(4)])
    assert found == pytest.approx(slope, abs=0.2)


@pytest.mark.parametrize("sigma", [2, 6])
def test_grain_is_the_standard_deviation_of_noise(sigma: int) -> None:
    rng = np.random.default_rng(4)
    ramp = np.tile(np.linspace(90, 160, SIDE), (SIDE, 1))
    noisy = grey(ramp + rng.normal(0, sigma, (SIDE, SIDE)))
    star = lab(noisy)[..., 0]
    smooth = lab(grey(ramp))[..., 0]
    assert values(noisy)["grain"] == pytest.approx((star - smooth).std(), rel=0.08)
    assert values(noisy)["fine_contrast"] > values(grey(ramp))["fine_contrast"]


def test_coarse_and_fine_texture_are_told_apart() -> None:
    coarse, fine = values(stripes(SIDE / 8, 0)), values(stripes(2, 0))
    assert coarse["coarse_contrast"] > 4 * fine["coarse_contrast"]
    assert fine["fine_contrast"] > 4 * coarse["fine_contrast"]


def test_a_mirrored_picture_keeps_all_but_its_side() -> None:
    pixels = painting(5, SIDE)
    before, after = values(pixels), values(pixels[:, ::-1])
    for key in KEYS:
        expected = 100 - before[key] if key == "weight_side" else before[key]
        assert after[key] == pytest.approx(expected, rel=1e-6, abs=1e-6), key


def test_composition_of_known_pictures() -> None:
    left = np.full((SIDE, SIDE), 128.0)
    left[20:60, 20:60] = np.random.default_rng(6).integers(0, 256, (40, 40))
    found = values(grey(left))
    assert found["weight_side"] == pytest.approx(100 * 40 / SIDE, abs=1)
    assert found["weight_height"] == pytest.approx(100 - 100 * 40 / SIDE, abs=1)
    assert found["centring"] < 0.02 and 85 < found["empty"] < 95 and found["symmetry"] < 0.2
    centre = np.roll(left, (56, 56), (0, 1))
    found = values(grey(centre))
    assert found["centring"] == pytest.approx(9, abs=0.3)
    both = np.concatenate([centre[:, :96], centre[:, :96][:, ::-1]], axis=1)
    assert values(grey(both))["symmetry"] == pytest.approx(1)
    thirds = np.full((SIDE, SIDE), 128.0)
    thirds[:, 63:65] = thirds[127:129] = 0
    assert values(grey(thirds))["thirds"] > 2.5


STABLE = {
    "lightness": 1, "contrast": 1, "chroma": 1.5, "warmth": 0.05, "edges": 2, "line_width": 0.4, "straightness": 0.05,
    "alignment": 0.03, "verticality": 0.03, "uprightness": 0.04, "slope": 0.25, "coarse_contrast": 0.3,
    "weight_height": 1, "weight_side": 1, "symmetry": 0.02, "empty": 4, "centring": 0.06, "thirds": 0.06,
}  # fmt: skip
"""Attributes that hardly depend on format and size of the file, and by how much they may change."""


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_most_attributes_do_not_depend_on_the_format(seed: int) -> None:
    pixels = resized(painting(seed), SIDE)
    before = values(pixels)
    for form, quality in (("PNG", 0), ("JPEG", 85), ("WEBP", 85)):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, form, **({"quality": quality} if quality else {}))
        after = values(np.asarray(Image.open(buffer).convert("RGB")))
        for key in KEYS if form == "PNG" else STABLE:
            limit = 0 if form == "PNG" else STABLE[key]
            assert abs(after[key] - before[key]) <= limit, (form, key)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_most_attributes_do_not_depend_on_the_size_of_the_file(seed: int) -> None:
    large = painting(seed, 768)
    before, after = values(resized(large, 128)), values(resized(resized(large, 300), 128))
    for key, limit in STABLE.items():
        assert abs(after[key] - before[key]) <= limit, key


def test_the_working_size_enlarges_no_picture() -> None:
    assert working_side([4000, 70], [3000, 70]) == 64
    assert working_side([4000], [3000]) == SIDES[0] and working_side([10], [10]) == SIDES[-1]
    height, width = working_size(200, 100, 128)
    assert width / height == pytest.approx(2, rel=0.02) and width * height == pytest.approx(128**2, rel=0.02)
    height, width = working_size(10_000, 10, 128)
    assert width / height == pytest.approx(MOST_ASPECT, rel=0.02)


def test_what_is_no_picture_is_refused() -> None:
    for wrong in (np.zeros((4, 4, 3), np.uint8), np.zeros((16, 16), np.uint8), np.zeros((16, 16, 3))):
        with pytest.raises(ValueError, match="Decode the picture as RGB"):
            measure(wrong)
