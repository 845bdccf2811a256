"""A picture of measured curves as SVG. Pure: numbers in, text out."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.report import Sample
    from benchmarks.scenario import Plot

_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 50, 50
_COLORS = ("#1a66c2", "#c2571a")
#: Numbers along an axis.
_TICKS = 5


@dataclass(frozen=True)
class Curve:
    """A named curve: its points, by increasing x."""

    name: str
    points: tuple[tuple[float, float], ...]


def draw(title: str, plot: Plot, samples: Mapping[str, Sequence[Sample]]) -> str:
    """Draw the medians of the samples of each subject, by its name."""
    curves = [
        Curve(
            name,
            tuple(
                (place, statistics.median(sample[measure] for sample in of_subject))
                for measure, place in plot.places.items()
            ),
        )
        for name, of_subject in samples.items()
    ]
    return svg(title, plot.x, plot.y, curves)


def svg(title: str, x: str, y: str, curves: Sequence[Curve]) -> str:
    """Draw curves over axes that begin at 0. ``x`` and ``y`` name the axes, with their units.

    At most two curves, one for each daemon, with at least one point together.
    """
    right = _round_up(max(point[0] for curve in curves for point in curve.points))
    top = _round_up(max(point[1] for curve in curves for point in curve.points))

    def place(across: float, up: float) -> tuple[float, float]:
        return (
            _LEFT + across / right * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - up / top * (_HEIGHT - _TOP - _BOTTOM),
        )

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 20, title, 'font-weight="bold" font-size="14"'),
        _text(_LEFT, 40, y),
        _text(_WIDTH - _RIGHT, _HEIGHT - 10, x, 'text-anchor="end"'),
    ]
    for number in range(_TICKS + 1):
        across, _ = place(right * number / _TICKS, 0)
        _, down = place(0, top * number / _TICKS)
        lines += [
            f'<path d="M{_LEFT} {down:.1f}H{_WIDTH - _RIGHT}" stroke="#dddddd"/>',
            _text(_LEFT - 8, down + 4, f"{top * number / _TICKS:g}", 'text-anchor="end"'),
            _text(
                across,
                _HEIGHT - _BOTTOM + 18,
                f"{right * number / _TICKS:g}",
                'text-anchor="middle"',
            ),
        ]
    for number, (curve, color) in enumerate(zip(curves, _COLORS, strict=False)):
        places = [place(*point) for point in curve.points]
        path = " ".join(f"{across:.1f},{down:.1f}" for across, down in places)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        lines += [
            f'<circle cx="{across:.1f}" cy="{down:.1f}" r="3" fill="{color}"/>'
            for across, down in places
        ]
        lines.append(_text(_LEFT + 12, _TOP + 16 * (number + 1), curve.name, f'fill="{color}"'))
    return "\n".join([*lines, "</svg>", ""])


def _text(across: float, down: float, text: str, attributes: str = "") -> str:
    return f'<text x="{across:.1f}" y="{down:.1f}" {attributes}>{escape(text)}</text>'


def _round_up(value: float) -> float:
    """Return the next number with one or two digits that is easy to divide: 1, 1.5, 2, 2.5, 5."""
    if value <= 0:
        return 1.0
    unit: float = 10.0 ** math.floor(math.log10(value))
    return next(
        step * unit for step in (1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10) if step * unit >= value * 0.999
    )
