"""The picture of measured curves."""

from __future__ import annotations

from defusedxml.ElementTree import fromstring

from benchmarks.picture import draw
from benchmarks.scenario import Plot

SVG = "{http://www.w3.org/2000/svg}"


def test_curves_go_through_the_medians() -> None:
    plot = Plot("programs", "MiB <PSS>", {"with 0": 0, "with 100": 100})
    samples = [{"with 0": low, "with 100": 50.0} for low in (0.0, 25.0, 50.0)]
    picture = fromstring(draw("slope", plot, {"ours": samples, "Supervisor": samples[:1]}))
    curves = [line.get("points") for line in picture.iter(f"{SVG}polyline")]
    assert curves == ["70.0,180.0 620.0,50.0", "70.0,310.0 620.0,50.0"]
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert {"slope", "programs", "MiB <PSS>", "ours", "Supervisor"} <= set(texts)
