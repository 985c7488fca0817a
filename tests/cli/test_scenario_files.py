from __future__ import annotations

import json
from pathlib import Path

import pytest

from linkem_py.cli.errors import LoadError
from linkem_py.cli.scenario_files import read_scenario
from linkem_py.model import Trace
from linkem_py.model.scenario import ScenarioLink

from .conftest import Linkem
from .test_described import network

PACKETS = "0\n10\n500\n1000\n"
TOML = """
duration_s = 4

[[links]]
name = "lte"
preset = "lte"
uplink_schedule = { type = "trace", file = "traces/driving.up" }

[[links]]
name = "wifi"
preset = "wifi"
"""


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def test_a_file_is_a_scenario_with_the_traces_beside_it(folder: Path) -> None:
    trace = write(folder, "traces/driving.up", PACKETS)
    found = read_scenario(write(folder, "walk.toml", TOML))
    assert (found.name, found.duration_s) == ("walk", 4)
    lte, wifi = found.links
    assert lte.uplink_schedule == Trace.mahimahi(PACKETS, name=str(trace))
    assert wifi == ScenarioLink.of("wifi", "wifi")


def test_json_is_as_good_and_names_the_network(folder: Path) -> None:
    write(folder, "walk.json", json.dumps({"name": "stroll", "duration_s": 4, "links": [{"preset": "nr"}]}))
    assert network("--scenario", "walk.json").name == "stroll"


def test_traces_are_schedules_on_the_command_line_too(folder: Path) -> None:
    write(folder, "a.up", PACKETS)
    write(folder, "a.down", "0\n100\n1000\n")
    up, down = Trace.mahimahi(PACKETS, name="a.up"), Trace.mahimahi("0\n100\n1000\n", name="a.down")
    found = network("--preset", "lan", "--schedule", "a.up,a.down", "--links", "2")
    for segment in ("link1", "link2"):
        assert found.schedules["sender", "receiver", segment] == up
        assert found.schedules["receiver", "sender", segment] == down
    assert list(network("--preset", "lan", "--schedule", "a.up").schedules.values()) == [up, up]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("s.toml", "duration_s = 4\n[[links]]\npreset =\n", "s.toml:3:9: Invalid value"),
        ("s.json", '{"duration_s": 4,\n "links": [}', "s.json:2:12: Expecting value"),
        (
            "s.toml",
            TOML.replace('preset = "wifi"', "uplink = { delay_ms = -3 }\ndownlink = {}"),
            "s.toml: links[1].uplink.delay_ms must be between 0 and 3.6e+06: -3",
        ),
        ("s.toml", "duration_s = 2020-01-01\nlinks = [{preset = 'lte'}]", "s.toml: duration_s must be a number: 'dat"),
        (
            "s.toml",
            TOML.replace("driving.up", "none.up"),
            "s.toml: links[0].uplink_schedule: trace cannot be read (No such file or directory): 'traces/none.up'",
        ),
        (
            "s.toml",
            TOML.replace("driving.up", "broken.up"),
            "s.toml: links[0].uplink_schedule: traces/broken.up, line 2: time must be a whole number of milliseconds: ",
        ),
        ("s.yaml", "duration_s: 4", "s.yaml: a scenario's file must end in .toml or .json"),
    ],
)  # fmt: skip
def test_every_error_has_its_place_in_the_file(
    folder: Path, linkem: Linkem, name: str, text: str, message: str
) -> None:
    write(folder, "traces/driving.up", PACKETS)
    write(folder, "traces/broken.up", "0\nx\n")
    write(folder, name, text)
    outcome = linkem("plan", "--scenario", name)
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.startswith(f"linkem: {message}")


def test_files_that_cannot_be_read_are_named(folder: Path) -> None:
    with pytest.raises(LoadError, match=r"none.toml: No such file"):
        read_scenario(Path("none.toml"))
    Path("bad.toml").write_bytes(b"a = 1\nb = '\xff'\n")
    with pytest.raises(LoadError, match=r"bad.toml:2: is not UTF-8"):
        read_scenario(Path("bad.toml"))
    with Path("large.toml").open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(LoadError, match=r"large.toml: must have at most 64 MiB"):
        read_scenario(Path("large.toml"))
    with pytest.raises(LoadError, match=r"trace cannot be read \(No such file"):
        network("--preset", "lan", "--schedule", "none.up")
