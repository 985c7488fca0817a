"""Schedules, links that go down and carriers, on the command line."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from linkem_py.cli.completion import candidates
from linkem_py.control.registry import Registry

from .conftest import Linkem
from .standing import Standing

pytestmark = pytest.mark.usefixtures("runtime")

TOML = 'type = "overlay"\nspans = [[1, inf]]\neffect = {outage = true}\n'
MAHIMAHI = "\n".join(str(7 * number) for number in range(300))


@pytest.fixture
def demo(runtime: Registry) -> Iterator[Standing]:
    with Standing("demo") as network:
        yield network


def test_a_preset_begins_is_shown_and_ends(linkem: Linkem, demo: Standing) -> None:
    outcome = linkem("schedule", "a", "b", "handover")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith("demo  a->b: schedule handover  since ")
    assert "delay 20 ms; schedule handover" in linkem("show").out
    assert linkem("schedule").out.startswith("demo\n  link  schedule  in force")
    assert "handover  delay 20 ms" in linkem("schedule", "demo").out
    (row,) = json.loads(linkem("schedule", "--json").out)["links"]
    assert row["schedule"] == {"type": "overlay", "name": "handover"}
    assert linkem("schedule", "demo", "a", "b", "--off").out.startswith("demo  a->b: delay 20 ms, no schedule  since")
    assert linkem("schedule").out == "demo  no schedule goes on\n"


def test_both_directions_begin_with_one_change(linkem: Linkem, demo: Standing) -> None:
    lines = linkem("schedule", "a", "b", "race-4g", "--both").out.splitlines()
    assert [line.split("  since")[0] for line in lines] == [
        "demo  a->b: schedule race_4g",
        "demo  b->a: schedule race_4g",
    ]
    reply = json.loads(linkem("schedule", "a", "b", "--off", "--both", "--json").out)
    assert (reply["network"], reply["ok"], len(reply["links"])) == ("demo", True, 2)


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("one.json", '{"type": "constant", "what": {"delay_ms": 3}}', "constant"),
        ("one", '{"type": "constant"}', "constant"),
        ("one.toml", TOML, "overlay"),
        ("one.txt", TOML, "overlay"),
        ("drive.csv", "at_s,rate_kbit\n0,500\n1,900\n", "drive"),
        ("tunnel.up", MAHIMAHI, "tunnel"),
    ],
)
def test_a_file_says_by_its_name_or_its_beginning_what_it_is(
    linkem: Linkem, demo: Standing, tmp_path: Path, name: str, text: str, shown: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    outcome = linkem("schedule", "a", "b", "--file", str(path))
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith(f"demo  a->b: schedule {shown}  since ")


def test_a_schedule_comes_on_standard_input(linkem: Linkem, demo: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(MAHIMAHI))
    assert linkem("schedule", "a", "b", "--file", "-").out.startswith("demo  a->b: schedule trace  since ")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.json", "{", "x.json is not JSON: "),
        ("x.toml", "{", "x.toml is not "),
        ("x.json", '{"type": "steps", "steps": [{"at_s": -1}]}', "x.json: schedule.steps[0].at_s must be a number of"),
        ("x.csv", "at_s\nx\n", "x.csv: schedule.text line 2: at_s must be a number: 'x'"),
    ],
)
def test_what_is_wrong_in_a_file_names_the_file(
    linkem: Linkem, demo: Standing, tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    outcome = linkem("schedule", "a", "b", "--file", str(tmp_path / name))
    assert outcome.status in (1, 2)
    assert outcome.err.count("\n") == 1
    assert said in outcome.err


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["schedule", "a", "b", "hanover"], 1, "schedule.name is unknown (did you mean handover?): 'hanover'"),
        (["schedule", "a", "x", "handover"], 1, "'x'"),
        (["schedule", "a", "b", "--file", "/nowhere"], 1, "/nowhere: No such file or directory"),
        (["schedule", "a", "b"], 2, "after the link comes its schedule"),
        (["schedule", "demo", "--off"], 2, "a link is named by its two ends"),
        (["schedule", "a", "b", "--off", "--file", "x"], 2, "either a schedule begins or one ends"),
        (["schedule", "a", "b", "c", "d", "e"], 2, "after the link comes its schedule"),
        (["link", "down", "a"], 2, "a link is named by its two ends"),
        (["link", "off", "a", "b"], 2, "invalid choice: 'off'"),
        (["link", "down", "a", "x"], 1, "'x'"),
        (["readdress", "a", "b", "c"], 2, "other addresses are for one peer"),
        (["readdress", "a", "--ipv4", "x"], 1, "peer a: ipv4 must be an address in"),
        (["carrier", "a"], 2, "a peer's carrier goes down or up"),
        (["carrier", "a", "off"], 2, "a peer's carrier goes down or up"),
        (["carrier", "a", "down", "--segment", "lte"], 1, "segment is not one that the peer is on"),
    ],
)
def test_what_is_refused_is_said_in_one_line(
    linkem: Linkem, demo: Standing, words: list[str], status: int, said: str
) -> None:
    outcome = linkem(*words)
    assert (outcome.status, outcome.out) == (status, "")
    assert outcome.err.count("\n") == 1
    assert said in outcome.err
    assert "changes[" not in outcome.err


def test_a_link_goes_down_both_ways_and_up_one_way(linkem: Linkem, demo: Standing) -> None:
    lines = linkem("link", "down", "a", "b").out.splitlines()
    assert [line.split("  since")[0] for line in lines] == ["demo  a->b: down", "demo  b->a: down"]
    assert linkem("show").out.count("down; delay 20 ms") == 2
    outcome = linkem("link", "up", "demo", "a", "b", "--one-way")
    assert outcome.out.startswith("demo  a->b: up, delay 20 ms  since ")
    assert linkem("show").out.count("down; delay 20 ms") == 1
    assert json.loads(linkem("link", "up", "a", "b", "--json").out)["ok"]


def test_a_carrier_is_shown_as_long_as_it_is_away(linkem: Linkem, demo: Standing) -> None:
    assert linkem("carrier", "a", "down").out.startswith("demo  a: carrier down  since ")
    assert "without carrier: a\n" in linkem("show").out
    assert linkem("carrier", "demo", "a", "up").status == 0
    assert "without carrier" not in linkem("show").out


def test_a_peer_gets_other_addresses(linkem: Linkem, demo: Standing) -> None:
    before = json.loads(linkem("show", "--json").out)["peers"]["a"]["lan"]
    outcome = linkem("readdress", "a")
    assert outcome.out.startswith("demo  a: other addresses (linkem show)  since ")
    assert linkem("readdress", "demo", "a", "--ipv6", "fd00:1::99", "--json").status == 0
    after = json.loads(linkem("show", "--json").out)["peers"]["a"]["lan"]
    assert after[0] != before[0]
    assert after[1] == "fd00:1::99"


def test_all_of_it_goes_over_a_broker(linkem: Linkem, runtime: Registry) -> None:
    pytest.importorskip("amqtt")
    with Standing("demo", broker=True) as network:
        reach = ["--mqtt", network.url]
        assert "schedule handover" in linkem("schedule", "demo", "a", "b", "handover", *reach).out
        assert "handover" in linkem("schedule", "demo", *reach).out
        assert "a->b: down" in linkem("link", "down", "demo", "a", "b", *reach).out
        assert linkem("carrier", "demo", "a", "down", *reach).status == 0
        assert linkem("readdress", "demo", "a", *reach).status == 0


def test_shells_know_their_words(runtime: Registry, demo: Standing) -> None:
    assert candidates(["schedule", ""], runtime) == ["a", "b", "demo"]
    assert candidates(["schedule", "a", "b", "hand"], runtime) == ["handover"]
    assert candidates(["schedule", "a", "b", "--o"], runtime) == ["--off"]
    assert candidates(["link", ""], runtime) == ["down", "up"]
    assert candidates(["link", "down", "a", ""], runtime) == ["b"]
    assert candidates(["carrier", "a", ""], runtime) == ["down", "up"]
    assert candidates(["readdress", ""], runtime) == ["a", "b", "demo"]
    assert candidates(["readdress", "a", "--ip"], runtime) == ["--ipv4", "--ipv6"]
