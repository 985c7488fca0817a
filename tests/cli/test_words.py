"""Fields as people write them, and links, impairments and events as people read them."""

from __future__ import annotations

import io
from typing import Any

import attrs
import pytest
from rich.console import Console

from linkem_py import Impairment
from linkem_py.cli import happenings, live, looking, words
from linkem_py.cli.console import Paint
from linkem_py.cli.errors import UsageError
from linkem_py.cli.fields import parse_fields
from linkem_py.control.wire import json
from linkem_py.control.wire.events import Changed, Event, Missed, Notice, Refused
from linkem_py.control.wire.replies import Problem
from linkem_py.control.wire.states import Description, LinkCounters, LinkState
from linkem_py.model import Access, GilbertElliott, LinkKey

PLAIN = Paint(False)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("delay_ms=80", 80),
        ("delay_ms=0.5", 0.5),
        ("delay_ms=1e3", 1000.0),
        ("rate_kbit=none", None),
        ("rate_kbit=", None),
        ("keep_order=true", True),
        ("keep_order=off", False),
        ("distribution=normal", "normal"),
        ("delay_ms=80ms", "80ms"),
        ("delay_ms=nan", "nan"),
        ("delay_ms=inf", "inf"),
        ("loss=gilbert_elliott:2,25", {"model": "gilbert_elliott", "p_pct": 2, "r_pct": 25}),
        ("loss=four_state:1.5", {"model": "four_state", "p13_pct": 1.5}),
        (
            "loss=gilbert_elliott:2,25,90,0.1",
            {"model": "gilbert_elliott", "p_pct": 2, "r_pct": 25, "bad_loss_pct": 90, "good_loss_pct": 0.1},
        ),
        ('distribution={"table": [1, 2], "name": "t"}', {"table": [1, 2], "name": "t"}),
    ],
)
def test_values_are_read_as_they_are_written(setting: str, value: Any) -> None:
    (found,) = parse_fields([setting]).values()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "setting", ["loss=gilbert_elliott:", "loss=gilbert_elliott:1,x", "loss=four_state:1,2,3,4,5,6"]
)
def test_a_loss_model_needs_its_numbers(setting: str) -> None:
    with pytest.raises(UsageError, match="all in percent"):
        parse_fields([setting])


@pytest.mark.parametrize(
    ("impairment", "text"),
    [
        (Impairment(), "unimpaired"),
        (Impairment(delay_ms=80, jitter_ms=2.5), "delay 80 ms, jitter 2.5 ms"),
        (Impairment(loss_pct=0.0001), "loss 0.0001 %"),
        (Impairment(rate_kbit=1500, burst_kb=15), "rate 1.5 Mbit/s, burst 15 kB"),
        (Impairment(rate_kbit=500, queue_packets=1000), "rate 500 kbit/s, queue 1,000 packets"),
        (Impairment(delay_ms=1, keep_order=True), "delay 1 ms, keep order"),
        (
            Impairment(loss=GilbertElliott(2, 25)),
            "loss Gilbert-Elliott (p 2 %, r 25 %, bad loss 100 %, good loss 0 %)",
        ),
    ],
)  # fmt: skip
def test_impairments_have_a_unit_on_every_number(impairment: Impairment, text: str) -> None:
    assert words.impairment(json.impairment_json(impairment)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (42.9, "42 s"), (185, "3 min 5 s"), (3600, "1 h"), (7805, "2 h 10 min"), (273600, "3 d 4 h")],
)
def test_ages_have_two_units_at_most(seconds: float, text: str) -> None:
    assert words.age(seconds) == text


def test_rates_and_sizes() -> None:
    assert [words.rate(bits) for bits in (0, 999, 1500, 4.2e6, 1e9)] == [
        "0 bit/s", "999 bit/s", "1.5 kbit/s", "4.2 Mbit/s", "1 Gbit/s",
    ]  # fmt: skip
    assert [words.size(count) for count in (0, 1500, 2.5e6)] == ["0 B", "1.5 kB", "2.5 MB"]
    assert [words.backlog(*each) for each in ((0, 0), (1, 98), (12, 18000))] == [
        "",
        "1 packet, 98 B",
        "12 packets, 18 kB",
    ]


def state(number: int, *, revision: int = 0) -> LinkState:
    link: LinkKey = ("hub", f"leaf-{number}", "lan")
    return LinkState(link=link, impairment=Impairment(delay_ms=20), revision=revision, applied_at=1000.0)


@pytest.mark.parametrize(
    ("event", "texts"),
    [
        (Changed(revision=3, at=0.0, what="update", links=(state(1),)), ["hub->leaf-1  delay 20 ms  revision 3"]),
        (
            Changed(revision=4, at=0.0, what="partition", groups=(("a",), ("b", "c"))),
            ["partition: a | b, c  revision 4"],
        ),
        (Changed(revision=5, at=0.0, what="heal"), ["the partition is healed  revision 5"]),
        (
            Changed(revision=6, at=0.0, what="remove_peer", peer="x", removed=(("a", "x", "wan"),)),
            ["peer x went  revision 6", "a->x (wan)  went  revision 6"],
        ),
        (Changed(revision=7, at=0.0, what="set_access", peer="x"), ["the access link of x is another  revision 7"]),
        (Refused(at=0.0, id="7", error=Problem(message="no")), ["refused (id 7): no"]),
        (Notice(at=0.0, message="hello"), ["hello"]),
        (Missed(at=0.0, count=1000), ["1,000 events are missing here: this reader was too slow"]),
    ],
)  # fmt: skip
def test_events_are_lines(event: Event, texts: list[str]) -> None:
    assert [line.split("  ", 1)[1] for line in happenings.lines(json.event_json(event), PLAIN)] == texts


def test_an_event_of_a_thousand_links_is_not_a_thousand_lines() -> None:
    event = Changed(revision=1, at=0.0, what="update", links=tuple(state(number) for number in range(1000)))
    lines = happenings.lines(json.event_json(event), PLAIN)
    assert len(lines) == happenings.MOST_LINKS + 1
    assert lines[-1].endswith("and 980 more links")


def test_an_access_link_stands_behind_the_addresses_of_its_interface() -> None:
    told = attrs.evolve(
        description(1),
        segments={"lan": ("10.0.0.0/16", None)},
        peers={"hub": {"lan": ("10.0.0.1",)}, "leaf": {"lan": ("10.0.0.2",)}},
        access={"hub": {"lan": Access(uplink_kbit=4000, downlink_at="peer")}},
    )
    lines = looking.description_lines(json.description_json(told), PLAIN, 0.0)
    assert "  hub   10.0.0.1  (uplink 4 Mbit/s, downlink at peer)" in lines
    assert "  leaf  10.0.0.2" in lines


# --- the live view -------------------------------------------------------------------------------


def description(links: int) -> Description:
    return Description(
        name="demo", topology="star", release="6.12", seed=1, started_at=0.0, revision=0, segments={}, peers={},
        links=tuple(state(number) for number in range(links)),
    )  # fmt: skip


def picture(links: int) -> live.Picture:
    return live.Picture(description(links))


def counters(number: int, *, at: float, packets: int) -> LinkCounters:
    return LinkCounters(
        link=("hub", f"leaf-{number}", "lan"), at=at, packets=packets, bytes=1000 * packets, drops=packets // 10,
        lost=0, queue_drops=0, overlimits=0, backlog_packets=2, backlog_bytes=2000,
    )  # fmt: skip


def shown(of: live.Picture, *, height: int, width: int = 120) -> list[str]:
    console = Console(width=width, height=height, record=True, file=io.StringIO())
    console.print(live.render(of, "demo", height, now=1010.0))
    return console.export_text().splitlines()


def test_the_view_has_asked_and_now_side_by_side() -> None:
    seen = picture(2)
    seen.counted([counters(0, at=1.0, packets=0)])
    seen.counted([counters(0, at=2.0, packets=100)])
    seen.heard(Changed(revision=1, at=1000.0, what="update", links=(state(0, revision=1),)))
    lines = shown(seen, height=24)
    row = next(line for line in lines if "leaf-0" in line)
    for text in ("hub->leaf-0", "delay 20 ms", "800 kbit/s", " 10 ", "2 packets, 2 kB", "10 s ago"):
        assert text in row


def test_of_many_links_those_that_changed_last_are_shown_then_the_busiest() -> None:
    seen = picture(1000)
    seen.counted([counters(500, at=1.0, packets=0)])
    seen.counted([counters(500, at=2.0, packets=100)])
    for number in (7, 900):
        seen.heard(Changed(revision=number, at=0.0, what="update", links=(state(number, revision=number),)))
    assert [row.state.link[1] for row in seen.rows(3)] == ["leaf-900", "leaf-7", "leaf-500"]
    lines = shown(seen, height=24)
    assert len(lines) <= 24
    assert any("and 984 more links" in line for line in lines)


def test_links_that_go_are_shown_no_more_and_refusals_are() -> None:
    seen = picture(2)
    seen.heard(
        Changed(revision=1, at=0.0, what="disconnect", removed=(("hub", "leaf-0", "lan"),), groups=(("a",), ("b",)))
    )
    seen.heard(Refused(at=0.0, error=Problem(message="link x: no")))
    text = "\n".join(shown(seen, height=24))
    assert "leaf-0" not in text
    assert "partition: a | b" in text
    assert "refused: link x: no" in text
    seen.start_again(description(3))
    assert len(seen.rows(10)) == 3
