"""Recordings as pictures: the series that are drawn, and what stands in the picture."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linkem_py.errors import RequestError
from linkem_py.report import timeline
from linkem_py.report.timeline import ABSENT, CARRIER, OUTAGE, PARTITION, Span, links_of
from linkem_py.runtime import Recording, read_recording

A_B, B_A, A_C = ("a", "b", "lan"), ("b", "a", "lan"), ("a", "c", "lte")
COUNTED = dict.fromkeys(
    ("packets", "bytes", "drops", "lost", "queue_drops", "overlimits", "backlog_packets", "backlog_bytes"), 0
)


def link(key: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    return {"src": key[0], "dst": key[1], "segment": key[2], **more}


def change(at_s: float, what: str, *links: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"at_s": at_s, "what": what, "links": list(links), **more}


def counted(at_s: float, **rows: Any) -> dict[str, Any]:
    return {"at_s": at_s, "stats": [link(A_B, **{**COUNTED, **rows})]}


HEAD = {
    "linkem_recording": 1,
    "began_at": 1_700_000_000.0,
    "seed": 7,
    "kernel": "6.12",
    "topology": {
        "name": "t",
        "peers": ["a", "b", "c"],
        "links": [link(A_B, set={"delay_ms": 20, "jitter_ms": 5, "rate_kbit": 2000, "loss_pct": 1}), link(B_A, set={})],
    },
}
LINES = [
    counted(1, bytes=100_000, packets=90, drops=10, lost=5, backlog_bytes=500),
    change(1.5, "update", link(A_B, set={"rate_kbit": None, "delay_ms": 40})),
    counted(2, bytes=350_000, packets=190, drops=10, lost=5, backlog_bytes=7000),
    change(2, "schedule", link(A_B, set={"rate_kbit": 500}, outage=True)),
    change(3, "schedule", link(A_B, set={})),
    counted(3, bytes=350_000, packets=190, drops=10, lost=5),
    change(4, "partition", groups=[["a"], ["b"]]),
    change(5, "add_peer", peer="d", groups=[["a"], ["b"]]),
    change(6, "heal"),
    counted(6.1, bytes=10, packets=1),
    change(6.5, "carrier down", peer="b", segment="lan"),
    change(7, "carrier up", peer="b", segment="lan"),
    change(7.5, "add_link", link(A_C, set={"delay_ms": 3}, new=True)),
    change(8, "disconnect", link(A_B, gone=True), link(B_A, gone=True)),
    {"end": True, "at_s": 10},
]


def recorded(folder: Path, *lines: dict[str, Any], head: dict[str, Any] = HEAD) -> Recording:
    file = folder / "run.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in (head, *lines)))
    return read_recording(file)


def test_what_was_in_force_is_known_for_every_moment(tmp_path: Path) -> None:
    found = timeline(recorded(tmp_path, *LINES), A_B)
    assert found.rate_kbit.edges_s.tolist() == [0, 1.5, 2, 3, 8, 10]
    np.testing.assert_array_equal(found.rate_kbit.values, [2000, np.nan, 500, 500, np.nan])
    np.testing.assert_array_equal(found.delay_ms.values, [20, 40, 40, 40, np.nan])
    np.testing.assert_array_equal(found.jitter_ms.values, [5, 5, 5, 5, np.nan])
    np.testing.assert_array_equal(found.loss_pct.values, [1, 1, 1, 1, np.nan])


def test_goodput_and_loss_are_those_between_two_counts(tmp_path: Path) -> None:
    found = timeline(recorded(tmp_path, *LINES), A_B)
    assert found.goodput_kbit.edges_s.tolist() == [0, 1, 2, 3, 6.1]
    # 100 kB in the first second are 800 kbit/s; at 6.1 the counters had begun anew.
    np.testing.assert_allclose(found.goodput_kbit.values, [800, 2000, 0, np.nan])
    np.testing.assert_allclose(found.lost_pct.values, [5, 0, np.nan, np.nan])
    assert found.backlog_s.tolist() == [1, 2, 3, 6.1]
    assert found.backlog_bytes.tolist() == [500, 7000, 0, 0]


def test_a_count_right_after_another_is_passed_over(tmp_path: Path) -> None:
    lines = [counted(at_s, bytes=round(at_s * 1000)) for at_s in (1, 2, 2.9, 3)]
    assert timeline(recorded(tmp_path, *lines), A_B).goodput_kbit.edges_s.tolist() == [0, 1, 2, 2.9]


def test_when_nothing_passes_and_why(tmp_path: Path) -> None:
    recording = recorded(tmp_path, *LINES)
    assert timeline(recording, A_B).spans == (
        Span(OUTAGE, 2, 3),
        Span(PARTITION, 4, 6),
        Span(CARRIER, 6.5, 7),
        Span(ABSENT, 8, 10),
    )
    assert timeline(recording, A_C).spans == (Span(ABSENT, 0, 7.5),)
    assert links_of(recording) == [A_B, B_A, A_C]


def test_a_part_of_the_time_has_what_held_then(tmp_path: Path) -> None:
    found = timeline(recorded(tmp_path, *LINES), A_B, start_s=1.8, end_s=2.5)
    assert found.rate_kbit.edges_s.tolist() == [1.8, 2, 2.5]
    np.testing.assert_array_equal(found.rate_kbit.values, [np.nan, 500])
    assert found.goodput_kbit.edges_s.tolist() == [1.8, 2, 2.5]
    assert found.backlog_s.tolist() == [2]
    assert found.spans == (Span(OUTAGE, 2, 2.5),)
    late = timeline(recorded(tmp_path, *LINES), A_B, start_s=9)
    assert np.isnan(late.goodput_kbit.values).all()


@pytest.mark.parametrize(("start_s", "end_s"), [(3, 2), (10, None), (10, 12), (2, 2)])
def test_a_time_that_is_none_is_refused(tmp_path: Path, start_s: float, end_s: float | None) -> None:
    with pytest.raises(RequestError, match="from must be"):
        timeline(recorded(tmp_path, *LINES), A_B, start_s=start_s, end_s=end_s)


def test_a_link_that_never_was_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="link is not in the recording: 'a->c'"):
        timeline(recorded(tmp_path, *LINES), ("a", "c", "lan"))


# --- the picture ---------------------------------------------------------------------------------


def drawn(recording: Recording, path: Path, **options: Any) -> str:
    pytest.importorskip("matplotlib")
    from linkem_py.report.recording_picture import draw_recording

    draw_recording([timeline(recording, key, **options) for key in links_of(recording)], path, title="a ride")
    return path.read_text() if path.suffix == ".svg" else ""


def texts(svg: str) -> list[str]:
    return [re.sub("<[^>]*>", "", found) for found in re.findall(r"<text[^>]*>(.*?)</text>", svg, re.DOTALL)]


def test_the_picture_says_what_is_in_it(tmp_path: Path) -> None:
    svg = drawn(recorded(tmp_path, *LINES), tmp_path / "run.svg")
    said = texts(svg)
    for text in ("a ride", "a-&gt;b", "b-&gt;a", "a-&gt;c (lte)", "asked", "asked: delay ± jitter", "measured"):
        assert said.count(text) == 1, text
    assert {"(Mbit/s)", "(ms)", "(% of packets)", "(kB)", "since the recording began (s)"} <= set(said)
    assert {OUTAGE, PARTITION, CARRIER, ABSENT} <= set(said)
    for name in ("rate", "goodput", "delay", "jitter", "loss", "lost", "backlog"):
        assert f'id="{name} a/b/lan"' in svg, name
    assert 'id="rate b/a/lan"' not in svg  # it never had one


def test_what_no_link_has_takes_no_room(tmp_path: Path) -> None:
    head = {**HEAD, "topology": {**HEAD["topology"], "links": [link(A_B, set={"delay_ms": 3})]}}  # type: ignore[dict-item]
    said = texts(drawn(recorded(tmp_path, {"end": True, "at_s": 3}, head=head), tmp_path / "run.svg"))
    assert "(ms)" in said
    assert not {"(kbit/s)", "(% of packets)", "(B)", "measured", "asked: delay ± jitter", OUTAGE} & set(said)


def test_the_series_are_those_of_the_timeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.axes import Axes

    found: dict[str, tuple[Any, Any]] = {}
    whole = Axes.stairs

    def stairs(self: Any, values: Any, edges: Any, **how: Any) -> Any:
        found.setdefault(str(how.get("gid")), (np.asarray(values), np.asarray(edges)))
        return whole(self, values, edges, **how)

    monkeypatch.setattr(Axes, "stairs", stairs)
    recording = recorded(tmp_path, *LINES)
    drawn(recording, tmp_path / "run.png")
    np.testing.assert_array_equal(found["rate"][0], [2, np.nan, 0.5, 0.5, np.nan])  # Mbit/s
    np.testing.assert_array_equal(found["rate"][1], [0, 1.5, 2, 3, 8, 10])
    np.testing.assert_allclose(found["goodput"][0], [0.8, 2, 0, np.nan])
    np.testing.assert_array_equal(found["jitter"][0], [25, 45, 45, 45, np.nan])


@pytest.mark.parametrize("count", [1, 3, 12])
def test_no_words_cover_each_other_and_none_are_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    figures: list[Figure] = []
    save = Figure.savefig

    def saved(self: Figure, *args: Any, **options: Any) -> None:
        figures.append(self)
        save(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", saved)
    recording = recorded(tmp_path, *LINES)
    from linkem_py.report.recording_picture import draw_recording

    draw_recording([timeline(recording, A_B)] * count, tmp_path / "run.png", title="a ride")
    (figure,) = figures
    said: list[Text] = [text for panel in figure.axes for text in (panel.xaxis.label, panel.yaxis.label)]
    said += [text for panel in figure.axes for text in (panel.title, panel._left_title)]  # type: ignore[attr-defined]
    said += [text for legend in figure.legends for text in legend.get_texts()]
    words = [text.get_window_extent() for text in said if text.get_text()]
    assert len(words) >= 6 * count + 6
    whole = figure.bbox.expanded(1.001, 1.001)
    for index, box in enumerate(words):
        assert whole.x0 <= box.x0 <= box.x1 <= whole.x1
        assert whole.y0 <= box.y0 <= box.y1 <= whole.y1
        assert not any(box.overlaps(other) for other in words[:index])
