import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from examples.rist_bonding import ts
from examples.rist_bonding.tables import tables_of
from examples.rist_bonding.timeline import Carried, Cut, Delivery, Received, Sent, Timeline

ROOT = Path(__file__).resolve().parents[2]
RATE_KBIT = 0.008 * ts.DATAGRAM * 10  # ten packets a second
LOST = {22, 25, 28}


def timeline(lost: set[int] = LOST) -> Timeline:
    """Four seconds over two links, the second of them down from 1.95 to 2.95 s."""
    return Timeline(
        links=("lte", "nr"),
        rate_kbit=RATE_KBIT,
        buffer_ms=1000,
        sent=[
            Sent(at=0, packets=0, originals=(0, 0), retransmitted=(0, 0), round_trip_ms=(None, None)),
            Sent(at=2, packets=20, originals=(10, 10), retransmitted=(1, 0), round_trip_ms=(80.0, None)),
            Sent(at=4, packets=40, originals=(20, 20), retransmitted=(3, 1), round_trip_ms=(90.0, None)),
        ],
        received=[
            Received(at=0, recovered=0, lost=0, duplicates=0, requests=0, arrived=(0, 0)),
            Received(at=0.5, recovered=0, lost=0, duplicates=0, requests=0, arrived=(2, 2)),
            Received(at=4, recovered=2, lost=3, duplicates=1, requests=5, arrived=(20, 15)),
        ],
        carried=[
            Carried(at=0, frames=(0, 0), octets=(1000, 1000), dropped=(0, 0)),
            Carried(at=2, frames=(10, 10), octets=(251_000, 126_000), dropped=(1, 0)),
            Carried(at=4, frames=(20, 20), octets=(501_000, 126_000), dropped=(1, 0)),
        ],
        deliveries=[
            Delivery(number, number / 10, number / 10 + (0.1 if number == 26 else 0.05))
            for number in range(40)
            if number not in lost
        ],
        cuts=[Cut(link="nr", at=1.95, until=2.95)],
    )


@pytest.mark.parametrize("number", [0, 1, 70_000])
def test_packets_of_the_stream_say_their_number_and_time(number: int) -> None:
    data = ts.datagram(number, 12.5)
    assert len(data) == 7 * 188
    assert data[::188] == b"\x47" * 7
    assert list(ts.numbered(data + ts.datagram(number + 1, 13.0))) == [(number, 12.5), (number + 1, 13.0)]
    assert list(ts.numbered(data[:-1] + b"\0")) == [(number, 12.5)]
    assert list(ts.numbered(b"\x47" + bytes(187))) == []


def test_continuity_counters_go_on_across_datagrams() -> None:
    data = b"".join(ts.datagram(number, 0.0) for number in range(20))
    assert [packet & 0x0F for packet in data[3::188]] == [index % 16 for index in range(140)]


def test_a_cut_has_lost_what_was_sent_meanwhile_and_never_came() -> None:
    found = timeline()
    outcome = found.outcome(found.cuts[0])
    assert found.missing == sorted(LOST)
    assert (outcome.sent, outcome.lost) == (10, 3)
    assert outcome.whole_after_s == pytest.approx(0.85)
    assert outcome.pause_ms == pytest.approx(250)  # from 23 to 26, which came late
    whole = timeline(lost=set())
    assert whole.outcome(whole.cuts[0]).whole_after_s == 0


def test_what_was_sent_before_the_receiver_had_joined_is_not_missing() -> None:
    assert timeline(lost={0, 9, 10}).missing == [10]


def test_figures_follow_from_the_samples() -> None:
    found = timeline()
    assert list(found.throughput_kbit()) == [(2, (1000.0, 500.0)), (4, (1000.0, 0.0))]
    assert found.late_ms == pytest.approx(3000)  # half a second between two samples became 3.5
    summary = found.summary()
    assert summary["links"]["lte"] == {
        "throughput_kbit": 1000.0, "frames_lost": 1, "sent": 20, "arrived": 20, "retransmitted": 3, "round_trip_ms": 85,
    }  # fmt: skip
    assert summary["links"]["nr"]["round_trip_ms"] is None
    assert summary["delay_ms"] == pytest.approx({"median": 50, "max": 100})


def test_the_tables_have_every_second_and_every_link() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    over_time, links, stream, cuts = tables_of(timeline())
    for table in (over_time, links, stream, cuts):
        console.print(table)
    text = console.export_text()
    assert over_time.row_count == 2  # a second without a sample has no line
    assert links.row_count == 2
    assert "nr down" in text
    assert "none seen" in text
    assert "1.9-3.0 s" in text


def test_a_run_can_be_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from examples.rist_bonding.plot import draw

    draw(timeline(), tmp_path / "run.png")
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")


def test_it_says_what_it_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.rist_bonding", "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert "linkem guest -- python -m examples.rist_bonding" in done.stdout
    assert all(len(file.read_text().splitlines()) < 240 for file in (ROOT / "examples/rist_bonding").glob("*.py"))
