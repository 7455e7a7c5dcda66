"""Figures of a comparison of encoders."""

from __future__ import annotations

from collections.abc import Sequence

from imindex.retrieval.report.figures.axes import Figure, Scale
from imindex.retrieval.report.figures.svg import Drawing, escape, fit, shown, tag
from imindex.retrieval.results import ComparedEncoder, EncoderComparison, Estimate

NAME = 190.0
WIDTH, STEP = 560.0, 30.0
PANEL, PANEL_HEIGHT = 250.0, 118.0


def encoder_figures(result: EncoderComparison) -> list[Figure]:
    """Return the figures of the page: precision, told artists, differences, pairs and reliability."""
    encoders = sorted(result.encoders, key=lambda one: one.figures.map.value or 0.0, reverse=True)
    figures = [_precision(encoders, result), _told(encoders, result)]
    if len(encoders) > 1:
        figures += [_differences(result), _artist_by_artist(encoders, result)]
    return [*figures, _pairs(encoders), _reliability(encoders)]


def _forest(
    encoders: Sequence[ComparedEncoder],
    estimates: Sequence[Estimate],
    scale: Scale,
    ticks: Sequence[tuple[float, str]],
    labels: Sequence[str],
    chance: float | None,
) -> Drawing:
    bottom = 22 + STEP * len(encoders)
    drawing = Drawing(WIDTH, bottom + 24)
    for value, label in ticks:
        x = scale(value)
        drawing.line(x, 16, x, bottom + 3, "grid")
        drawing.text(x, bottom + 17, label, "tick", "middle")
    if chance is not None:
        x = scale(chance)
        drawing.line(x, 12, x, bottom + 3, "chance")
    for place, (one, estimate, label) in enumerate(zip(encoders, estimates, labels, strict=True)):
        y = 22 + STEP * (place + 0.5)
        drawing.name(NAME - 12, y + 4, one.name, NAME - 14)
        if estimate.low is not None and estimate.high is not None:
            drawing.line(scale(estimate.low), y, scale(estimate.high), y, "interval")
        if estimate.value is not None:
            drawing.add(
                "circle", tag("title", escape(f"{one.name}: {label}")),
                cx=float(scale(estimate.value)), cy=float(y), r=4.5, class_="mark full",
            )  # fmt: skip
        drawing.text(WIDTH - 4, y + 4, label, "tick", "end")
    return drawing


def _span(estimate: Estimate, digits: int = 2) -> str:
    if estimate.value is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.{digits}f}"
    return f"{estimate.value:.{digits}f} ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"


_SHARES = [(value / 100, f"{value / 100:g}") for value in (0, 25, 50, 75, 100)]
_RIGHT = WIDTH - 132


def _precision(encoders: Sequence[ComparedEncoder], result: EncoderComparison) -> Figure:
    estimates = [one.figures.map for one in encoders]
    labels = [_span(one) for one in estimates]
    chance = encoders[0].chance_map
    drawing = _forest(encoders, estimates, Scale(0, 1, NAME, _RIGHT), _SHARES, labels, chance)
    return Figure(
        "Retrieval of held-out works: mean average precision",
        drawing.finish("map", "Mean average precision by encoder", "; ".join(
            f"{one.name} {label}" for one, label in zip(encoders, labels, strict=True))),
        "Each work ranks all other works. 1: its artist's works come first, whichever work asks. The intervals are "
        "wider than those of a difference on the same artists, so they may overlap where a difference is shown.",
        (("key key-interval", f"{100 * result.confidence_level:g} % interval over {result.unit}"),
         ("key key-chance", f"random ranking: {chance:.3f}")),
    )  # fmt: skip


def _told(encoders: Sequence[ComparedEncoder], result: EncoderComparison) -> Figure:
    estimates = [one.figures.told for one in encoders]
    n = len(result.artists)
    labels = [f"{round((one.value or 0) * n)} of {n}" for one in estimates]
    ticks = [(value, f"{100 * value:g} %") for value, _ in _SHARES]
    drawing = _forest(encoders, estimates, Scale(0, 1, NAME, _RIGHT), ticks, labels, None)
    return Figure(
        "Artists that can be told from all others",
        drawing.finish("told", "Artists told by encoder", "; ".join(
            f"{one.name} {label}" for one, label in zip(encoders, labels, strict=True))),
        "The works of these artists are nearer to each other than to those of the nearest other artist, with an "
        "interval above 0. Other artists were not shown to be told from all others with these works, so an audit with "
        "this encoder cannot judge them.",
        (("key key-interval", f"{100 * result.confidence_level:g} % interval over {result.unit}"),),
    )  # fmt: skip


def _differences(result: EncoderComparison) -> Figure:
    turned = []
    for one in result.differences_of("map"):
        if one.difference is None:
            continue
        difference, low, high = one.difference, one.low, one.high
        shown_now = low is not None and high is not None and not low <= 0 <= high
        shown_now = shown_now and one.p_adjusted is not None and one.p_adjusted <= result.level
        turned.append((one.first, one.second, difference, low, high, shown_now))
    reach = max([0.05, *(abs(end) for row in turned for end in (row[2], row[3], row[4]) if end is not None)])
    low_end = min([0.0, *(end for row in turned for end in (row[2], row[3]) if end is not None)])
    step = next(size for size in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if reach / size <= 5)
    scale = Scale(min(low_end * 1.08, -0.02), reach * 1.04, 230, WIDTH - 132)
    bottom = 22 + 24.0 * len(turned)
    drawing = Drawing(WIDTH, bottom + 24)
    for number in range(-6, 7):
        value = number * step
        if scale.low <= value <= scale.high:
            drawing.line(scale(value), 16, scale(value), bottom + 3, "grid")
            drawing.text(scale(value), bottom + 17, f"{value:+g}" if value else "0", "tick", "middle")
    drawing.line(scale(0), 12, scale(0), bottom + 3, "axis")
    spoken = []
    for number, (first, second, difference, low, high, is_shown) in enumerate(turned):
        y = 22 + 24 * (number + 0.5)
        label = f"{shown(first)} − {shown(second)}"
        drawing.add(
            "text", escape(fit(label, 216)) + tag("title", escape(label)),
            x=218.0, y=float(y + 4), class_="label", text_anchor="end",
        )  # fmt: skip
        if low is not None and high is not None:
            drawing.line(scale(low), y, scale(high), y, "interval")
        drawing.add(
            "circle", cx=float(scale(difference)), cy=float(y), r=4.2,
            class_="mark full" if is_shown else "mark empty",
        )  # fmt: skip
        verdict = "shown" if is_shown else "not told apart"
        drawing.text(WIDTH - 4, y + 4, f"{difference:+.3f}, {verdict}", "tick", "end")
        spoken.append(f"{first} minus {second}: {difference:+.3f}, {verdict}")
    return Figure(
        "Differences of mean average precision on the same artists",
        drawing.finish("differences", "Paired differences", "; ".join(spoken)),
        "A difference is shown if its interval does not include 0 and its p-value, adjusted over all pairs, is at most "
        f"{result.level:g}.",
        (("key key-interval", f"{100 * result.confidence_level:g} % interval over {result.unit}"),),
    )  # fmt: skip


def _artist_by_artist(encoders: Sequence[ComparedEncoder], result: EncoderComparison) -> Figure:
    """Plot the average precision of each artist by the two encoders with the highest means."""
    first, second = encoders[:2]
    side, left, top = 250.0, 52.0, 14.0
    across = Scale(0, 1, left, left + side)
    drawing = Drawing(left + side + 24, top + side + 42)
    for value, label in _SHARES:
        x, y = across(value), top + side - value * side
        drawing.line(x, top, x, top + side, "grid")
        drawing.line(left, y, left + side, y, "grid")
        drawing.text(x, top + side + 16, label, "tick", "middle")
        drawing.text(left - 7, y + 4, label, "tick", "end")
    drawing.line(left, top + side, left + side, top, "chance")
    nearer = 0
    for artist in result.artists:
        by_name = {row.encoder: row.average_precision for row in artist.encoders}
        a, b = by_name[first.name], by_name[second.name]
        if a is None or b is None:
            continue
        nearer += a > b
        title = tag("title", escape(f"{artist.artist}: {a:.2f} by {first.name}, {b:.2f} by {second.name}"))
        drawing.add(
            "circle",
            title,
            cx=float(across(a)),
            cy=float(top + side - b * side),
            r=4.0,
            class_="mark full artist-dot",
        )
    drawing.text(left + side / 2, top + side + 34, fit(shown(first.name), side), "label", "middle")
    name = escape(fit(shown(second.name), side))
    drawing.add(
        "text", name, x=0.0, y=0.0, class_="label", text_anchor="middle",
        transform=f"translate(14 {top + side / 2:.0f}) rotate(-90)",
    )  # fmt: skip
    n = len(result.artists)
    return Figure(
        "Artist by artist: the two encoders with the highest means",
        drawing.finish(
            "artists-plot", "Average precision of each artist by two encoders",
            f"{first.name} is higher for {nearer} of {n} artists",
        ),
        f"Average precision of each artist's works. {shown(first.name)} is higher (below the dashed line) for {nearer} "
        f"of {n} artists.",
        (("key key-chance", "equal"),),
    )  # fmt: skip


def _panels(n: int) -> tuple[int, float, float]:
    across = min(n, 2)
    return across, across * PANEL, -(-n // across) * (PANEL_HEIGHT + 34)


def _pairs(encoders: Sequence[ComparedEncoder]) -> Figure:
    across, width, height = _panels(len(encoders))
    drawing = Drawing(width, height)
    for number, one in enumerate(encoders):
        left, top = number % across * PANEL, number // across * (PANEL_HEIGHT + 34)
        _panel_title(drawing, one, left, top, f"AUC {_two(one.figures.auc)}")
        visible = [i for i, (a, b) in enumerate(zip(one.same, one.different, strict=True)) if a + b > 2e-4]
        first, last = (visible[0], visible[-1]) if visible else (0, len(one.same) - 1)
        width_of_bin = (one.high - one.low) / len(one.same)
        low, high = one.low + first * width_of_bin, one.low + (last + 1) * width_of_bin
        scale = Scale(low, high, left + 8, left + PANEL - 14)
        base = top + PANEL_HEIGHT
        most = max(max(one.same), max(one.different), 1e-9)
        for shares, class_ in ((one.different, "pairs-different"), (one.same, "pairs-same")):
            points = []
            for place in range(first, last + 1):
                y = base - shares[place] / most * (PANEL_HEIGHT - 30)
                points += [
                    (scale(one.low + place * width_of_bin), y),
                    (scale(one.low + (place + 1) * width_of_bin), y),
                ]
            area = " ".join(f"{x:.1f},{y:.1f}" for x, y in [(scale(low), base), *points, (scale(high), base)])
            drawing.add("polygon", points=area, class_=class_)
        drawing.line(left + 8, base, left + PANEL - 14, base, "axis")
        for value, anchor in ((low, "start"), (high, "end")):
            drawing.text(scale(value), base + 14, f"{value:.2f}", "tick", anchor)
        drawing.text(scale((low + high) / 2), base + 14, "cosine", "tick", "middle")
    return Figure(
        "Are two works by the same artist?",
        drawing.finish("pairs", "Similarities of pairs of works", "Histograms for each encoder"),
        "The less the two overlap, the better a single threshold decides for artists never seen. Where cosines are in "
        "a narrow range near 1, the vectors point into few directions.",
        (("key pairs-same-key", "pairs by one artist"), ("key pairs-different-key", "pairs by two artists")),
    )


def _reliability(encoders: Sequence[ComparedEncoder]) -> Figure:
    across, width, height = _panels(len(encoders))
    drawing = Drawing(width, height)
    for number, one in enumerate(encoders):
        left, top = number % across * PANEL, number // across * (PANEL_HEIGHT + 34)
        error = one.figures.calibration_error.value
        _panel_title(drawing, one, left, top, "" if error is None else f"error {100 * error:.1f} %")
        across_scale = Scale(0, 1, left + 30, left + PANEL - 14)
        base, up = top + PANEL_HEIGHT, PANEL_HEIGHT - 30
        for value in (0.0, 0.5, 1.0):
            y = base - value * up
            drawing.line(left + 30, y, left + PANEL - 14, y, "grid")
            drawing.text(left + 25, y + 4, f"{value:g}", "tick", "end")
            drawing.text(across_scale(value), base + 14, f"{value:g}", "tick", "middle")
        drawing.line(across_scale(0), base, across_scale(1), base - up, "chance")
        points = [
            (across_scale(part.confidence), base - part.accuracy * up)
            for part in one.reliability
            if part.confidence is not None and part.accuracy is not None
        ]
        if len(points) > 1:
            drawing.path(points, "thick")
        for x, y in points:
            drawing.add("circle", cx=float(x), cy=float(y), r=3.0, class_="mark full")
    return Figure(
        "Is the predicted artist as likely as it says?",
        drawing.finish("reliability", "Reliability diagrams", "Accuracy by confidence for each encoder"),
        "Accuracy (up) by confidence (across) of the most likely artist, for held-out works, in ten groups of equal "
        "size. On the dashed line, confidence is right.",
        (("key key-chance", "calibrated"),),
    )


def _panel_title(drawing: Drawing, one: ComparedEncoder, left: float, top: float, figure: str) -> None:
    inside = f"{escape(fit(shown(one.name), PANEL - 96))}{tag('title', escape(one.name))}"
    drawing.add("text", inside, x=left + 8, y=top + 13, class_="label")
    drawing.text(left + PANEL - 14, top + 13, figure, "tick", "end")


def _two(estimate: Estimate) -> str:
    return "-" if estimate.value is None else f"{estimate.value:.2f}"
