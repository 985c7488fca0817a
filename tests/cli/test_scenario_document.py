"""What docs/scenarios.md shows is what is."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from linkem_py.cli.arguments import parse
from linkem_py.cli.scenario_files import read_scenario
from linkem_py.control.wire.scenarios import scenario_schema
from linkem_py.control.wire.scenarios.links import LINK_NAMES
from linkem_py.control.wire.schedules import TYPES
from linkem_py.model import Topology

from .conftest import Linkem

TEXT = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text(encoding="utf-8")
COMMUTE, REGIONS = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
TRAIN = "\n".join(str(number) for number in range(0, 4000, 7))


@pytest.fixture
def commute(folder: Path) -> Path:
    (folder / "train.up").write_text(TRAIN)
    file = folder / "commute.toml"
    file.write_text(COMMUTE)
    return file


def regions(folder: Path) -> Topology:
    file = folder / "regions.toml"
    file.write_text(REGIONS)
    return read_scenario(file).topology()


def test_the_examples_are_scenarios_by_codec_and_schema(commute: Path, folder: Path) -> None:
    found = read_scenario(commute)
    assert (found.name, found.duration_s, found.peers) == ("commute", 8, ("camera", "studio"))
    assert [link.name for link in found.links] == ["lte", "nr", "wifi"]
    assert len(found.topology().schedules) == 5
    pairs = [("eu", "us"), ("us", "eu"), ("us", "tokyo"), ("tokyo", "us"), ("eu", "tokyo")]
    assert list(regions(folder).links) == [(*pair, "lan") for pair in pairs]
    assert regions(folder).link("tokyo", "us").impairment.delay_ms == 95
    for text in (COMMUTE, REGIONS):
        Draft202012Validator(scenario_schema()).validate(tomllib.loads(text))


def test_the_example_is_the_same_in_json(commute: Path, folder: Path) -> None:
    file = folder / "commute.json"
    file.write_text(json.dumps(tomllib.loads(COMMUTE)))
    assert read_scenario(file) == read_scenario(commute)


def test_every_command_line_is_one() -> None:
    lines = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
    assert len(lines) > 8
    for line in lines:
        words = shlex.split(line, comments=True)
        assert words[0] == "linkem"
        assert parse(words[1:]).name in ("presets", "up", "run")


def test_every_field_and_type_is_told() -> None:
    told = set(re.findall(r"`([a-z_]+)`", TEXT))
    assert {*LINK_NAMES, *TYPES} <= told


@pytest.mark.parametrize(
    ("replaced", "by", "line"),
    [
        ("preset = \"lte\"                 ", "preset =", "linkem: commute.toml:9:13: Invalid value"),
        ("rate_kbit = 20000", "delay_ms = -3", "linkem: commute.toml: links[1].uplink.delay_ms must be between 0 and "),
    ],
)  # fmt: skip
def test_errors_are_as_they_are_shown(linkem: Linkem, commute: Path, replaced: str, by: str, line: str) -> None:
    assert replaced in COMMUTE
    commute.write_text(COMMUTE.replace(replaced, by, 1))
    shown = [one for one in TEXT.splitlines() if one.startswith("linkem: commute.toml")]
    assert any(one.startswith(line) for one in shown)
    assert linkem("plan", "--scenario", commute.name).err.startswith(line)


@pytest.mark.netem
def test_the_example_runs_in_its_time(linkem: Linkem, commute: Path) -> None:
    script = "getent ahostsv4 studio.wifi >/dev/null && ping -c 1 -W 5 studio.lte >/dev/null"
    words = ("--kernel", "host", "-q", "--in", "camera", "--", "sh", "-c", script)
    assert linkem("run", "--scenario", commute.name, *words).status == 0
