import io
import json
import re
import sys

import attrs
import pytest
from rich.console import Console

from linkem_py import DelayTable, FourState, GilbertElliott, Impairment, Topology
from linkem_py.report import render_table, write
from linkem_py.report.files import NO_PICTURES
from linkem_py.report.markdown import render_markdown
from linkem_py.report.model import Figure, Verdict
from linkem_py.report.table import SIGNS, asked_text, value_text, verdict_text
from tests.report.samples import report_of

LINKS = {
    "near": Impairment(delay_ms=5, loss_pct=0.01),
    "far": Impairment(delay_ms=120, jitter_ms=15, loss_pct=0.5, rate_kbit=300_000),
    "lossy": Impairment(delay_ms=20, loss=GilbertElliott(1, 20), duplicate_pct=1),
}


def topology_of(links: dict[str, Impairment]) -> Topology:
    topology = Topology("made up")
    topology.add_peer("hub")
    for name, impairment in links.items():
        topology.add_peer(name)
        topology.connect("hub", name, impairment, back=Impairment(delay_ms=1))
    return topology


def printed(width: int = 140) -> str:
    file = io.StringIO()
    Console(file=file, width=width).print(render_table(report_of(**LINKS)))
    return file.getvalue()


def test_the_table_has_every_link_asked_measured_units_and_a_sign() -> None:
    text = printed()
    for name in LINKS:
        assert f"hub->{name}" in text
    assert re.search(r"delay +120\.00 ms +1\d\d\.\d\d ms +[+-]\d\.\d\d ms .* ✓ ok", text)
    assert re.search(r"goodput +300 Mbit/s +300 Mbit/s", text)
    assert "? too few samples" in text
    assert "seed 7" in text
    assert "netem has no seed" in text


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_a_terminal_of_any_width_gets_whole_names_values_and_verdicts(width: int) -> None:
    text = printed(width)
    assert "…" not in text
    assert re.search(r"goodput +300 Mbit/s +300 Mbit/s .*✓ ok", text)
    assert max(map(len, text.splitlines())) <= width


def test_columns_are_aligned() -> None:
    lines = [line for line in printed().splitlines() if " ms " in line and "✓" in line]
    assert len({line.index("✓") for line in lines}) == 1


def test_a_figure_out_of_tolerance_has_its_own_sign() -> None:
    assert len(set(SIGNS.values())) == len(Verdict)
    assert verdict_text(Figure(name="loss", unit="%", verdict=Verdict.OUT)) == "✗ out of tolerance"
    assert verdict_text(Figure(name="loss", unit="%", note="no packet arrived")) == "– not measured: no packet arrived"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (40.123, "ms", "40.12 ms"),
        (0.0, "%", "0 %"),
        (0.0104, "%", "0.01 %"),
        (4.7619, "%", "4.76 %"),
        (150.0, "kbit/s", "150 kbit/s"),
        (512_000.0, "kbit/s", "512 Mbit/s"),
        (1e6, "kbit/s", "1 Gbit/s"),
        (None, "ms", ""),
    ],
)
def test_values_have_units_and_no_more_digits_than_they_deserve(value: float | None, unit: str, text: str) -> None:
    assert value_text(value, unit) == text


def test_what_was_asked_comes_with_what_it_comes_to() -> None:
    assert asked_text(Figure(name="delay", unit="ms", asked=10, expected=10.83)) == "10.00 ms (10.83)"
    assert asked_text(Figure(name="delay", unit="ms", asked=10, expected=10.001)) == "10.00 ms"


def test_markdown_tables_have_as_many_cells_in_every_row() -> None:
    text = render_markdown(report_of(**LINKS), topology_of(LINKS), pictures=["graph.png", "distributions.png"])
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3
    for block in tables:
        assert len({line.count("|") for line in block.splitlines()}) == 1
    assert "![Peers and links](graph.png)" in text


def test_json_has_everything_and_comes_back() -> None:
    impairments = {
        **LINKS,
        "four": Impairment(loss=FourState(1, 30)),
        "shaped": Impairment(delay_ms=50, jitter_ms=5, distribution=DelayTable([-8192, 8192], "two")),
    }
    data = json.loads(json.dumps(report_of(**impairments).as_json(), allow_nan=False))
    assert data["topology"] == "made up"
    assert data["seed"] == 7
    assert data["release"] == "6.1"
    assert data["capabilities"]["netem"] is True
    assert data["machine"]["floor_ms"] == 0.04
    far = next(link for link in data["links"] if link["destination"] == "far")
    assert far["impairment"] == {"delay_ms": 120, "jitter_ms": 15, "loss_pct": 0.5, "rate_kbit": 300_000}
    assert far["figures"][0]["name"] == "delay"
    assert far["figures"][0]["verdict"] == "ok"
    assert sum(far["delays"]["counts"]) == far["figures"][0]["samples"]
    lossy = next(link for link in data["links"] if link["destination"] == "lossy")
    assert lossy["impairment"]["loss"]["model"] == "GilbertElliott"


def test_a_report_finds_its_links_and_figures() -> None:
    report = report_of(**LINKS)
    assert report.link("hub", "far").figure("delay").asked == 120
    assert report.link("hub", "far").figure("nothing").verdict is Verdict.NONE
    assert report.ok
    with pytest.raises(KeyError):
        report.link("far", "hub")


def test_written_files_are_there(tmp_path) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("matplotlib")
    paths = write(report_of(**LINKS), topology_of(LINKS), tmp_path / "deep" / "er")
    assert [path.name for path in paths] == ["report.md", "report.json", "graph.png", "distributions.png"]
    for path in paths[2:]:
        assert path.read_bytes().startswith(b"\x89PNG")
    json.loads(paths[1].read_text())


def test_without_matplotlib_the_report_says_what_pictures_need(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.warns(UserWarning, match=re.escape(NO_PICTURES)):
        paths = write(report_of(**LINKS), topology_of(LINKS), tmp_path)
    assert [path.name for path in paths] == ["report.md", "report.json"]
    assert "pip install linkem_py[report]" in paths[0].read_text()


def test_matplotlib_is_not_loaded_before_it_is_needed() -> None:
    import subprocess

    code = "import linkem_py.report, sys; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


SHAPES = {
    "one peer": 1,
    "a pair": 2,
    "many": 30,
}


@pytest.mark.parametrize("count", SHAPES.values(), ids=SHAPES)
def test_graphs_of_any_size_are_drawn(tmp_path, count: int) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("matplotlib")
    from linkem_py.report.pictures import draw_graph

    topology = Topology("shape")
    names = [f"peer-{number}" for number in range(count)]
    for index, name in enumerate(names):
        topology.add_peer(name)
        for other in names[:index]:
            topology.connect(name, other, Impairment(delay_ms=1 + index))
    assert draw_graph(topology, tmp_path / "graph.png").stat().st_size > 1000


def test_labels_of_the_four_regions_cover_neither_each_other_nor_a_peer(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("matplotlib")
    from linkem_py.report import pictures
    from topologies import regions

    drawn = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_args, **_options: drawn.append(figure))
    pictures.draw_graph(regions.topology(), tmp_path / "graph.png")
    boxes = [text.get_window_extent() for text in drawn[0].axes[0].texts]
    assert len(boxes) == 4 + 6
    for index, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[:index])


def test_a_frozen_report_cannot_be_changed() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        report_of(**LINKS).seed = 1  # type: ignore[misc]
