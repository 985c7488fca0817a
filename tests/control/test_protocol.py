"""What docs/control-socket.md says, said to a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from linkem_py import Impairment, Topology
from linkem_py.control import connection, dispatcher, execution, lines, listeners, redeliveries, server
from linkem_py.control.local import LocalStation
from linkem_py.control.server import Server
from linkem_py.control.wire import limits, schema
from tests.control.stations import RawClient
from tests.control.test_execution import Player
from tests.dry import DryNetwork

TEXT = (Path(__file__).parents[2] / "docs" / "control-socket.md").read_text()
EXAMPLES = [line for line in TEXT.splitlines() if line.startswith(("> ", "< "))]
CHANGING = {"applied_at", "at", "started_at", "release", "seed", "version"}


def turns() -> Iterator[tuple[list[str], list[dict[str, Any]]]]:
    """What the client says, and what it gets for that, as often as they take turns."""
    said: list[str] = []
    heard: list[dict[str, Any]] = []
    for line in EXAMPLES:
        if line.startswith("> ") and heard:
            yield said, heard
            said, heard = [], []
        if line.startswith("> "):
            said.append(line[2:])
        else:
            heard.append(json.loads(line.removeprefix("< ")))
    yield said, heard


def comparable(value: Any) -> Any:
    """Without what is different in each run; null stays null."""
    if isinstance(value, dict):
        return {
            name: "..." if name in CHANGING and member is not None else comparable(member)
            for name, member in value.items()
        }
    return [comparable(item) for item in value] if isinstance(value, list) else value


def sorted_messages(messages: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(comparable(message), sort_keys=True) for message in messages)


async def test_the_examples_are_answered_as_documented(tmp_path: Path) -> None:
    topology = Topology("pair")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.connect("a", "b", Impairment(delay_ms=10))
    asked: list[str] = []
    path = tmp_path / "demo.sock"
    async with (
        DryNetwork(topology) as net,
        LocalStation(net, name="demo") as station,
        Server(station, name="demo", programs=Player(), on_down=lambda: asked.append("down")) as served,
    ):
        await served.listen_unix(path)
        async with await RawClient.connect(path) as client:
            (_, greeting), *rest = turns()
            assert greeting[0].keys() == {"linkem", "name", "version"}
            assert greeting[0]["linkem"] == connection.PROTOCOL
            for said, heard in rest:
                client.writer.write("".join(f"{line}\n" for line in said).encode())
                found = [await client.receive() for _ in heard]
                assert sorted_messages(found) == sorted_messages(heard), said
    assert asked == ["down"]


def test_every_request_has_an_example() -> None:
    shown = {json.loads(line[2:]).get("request") for line in EXAMPLES if line.startswith("> {")}
    assert shown >= set(connection._REQUESTS)
    offered = {one["properties"]["request"]["const"] for one in schema.payload_schema("request")["oneOf"]}
    assert offered == set(connection._REQUESTS)


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("0 to {}", connection.MOST_NUMBER),
        ("at most {} bytes may be sent", execution.WINDOW_BYTES),
        ("the last {:,} ids", redeliveries.MOST_IDS),
        ("for at most {:.0f} s", connection.PATIENCE_S),
        ("| {} bytes, nested", lines.MOST_LINE_BYTES),
        ("nested {} deep", limits.MOST_DEPTH),
        ("| clients | {} |", server.MOST_CLIENTS),
        ("without a reply | {} |", connection.MOST_UNANSWERED),
        ("| {} and", dispatcher.MOST_COMMANDS),
        ("and {} | refused: `backlog`", dispatcher.MOST_CHANGES),
        ("that wait | {} |", connection.MOST_QUESTIONS),
        ("at a time | {} |", connection.MOST_STREAMS),
        ("| {} and", listeners.MOST_EVENTS),
        ("and {} | `missed`", listeners.MOST_LINKS),
        ("does not read | {} bytes", lines._COMFORTABLE),
    ],
)
def test_a_limit_is_as_documented(said: str, number: float) -> None:
    assert said.format(number) in TEXT.replace("\n", " ")
