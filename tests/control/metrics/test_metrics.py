"""Metrics over HTTP, of a network without a kernel."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from linkem_py import Impairment, Metrics, Topology
from linkem_py.control.client import RemoteStation
from linkem_py.control.local import LocalStation
from linkem_py.control.metrics import metrics as module
from linkem_py.control.server import Server
from linkem_py.errors import KernelError, RequestError
from linkem_py.kernel.codec.decode import Counters, QdiscRow
from linkem_py.model import GilbertElliott, Steps
from linkem_py.plan import handles
from tests.control.stations import until
from tests.dry import DryNetwork

DOCUMENT = Path(__file__).parents[3] / "docs" / "metrics.md"
A_B = {"network": "net", "segment": "lan", "source": "a", "destination": "b"}
B_A = {**A_B, "source": "b", "destination": "a"}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def pair() -> Topology:
    topology = Topology("net")
    topology.add_peer("a")
    topology.add_peer("b")
    there = Impairment(
        delay_ms=25, jitter_ms=5, loss=GilbertElliott(p_pct=1, r_pct=19), rate_kbit=8000, duplicate_pct=3
    )
    topology.connect("a", "b", there, back=Impairment(loss_pct=2))
    return topology


async def fetch(url: str, request: str = "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n") -> tuple[int, str, str]:
    """Status, headers and body."""
    found = re.fullmatch(r"http://(.+):(\d+)(/.*)", url)
    assert found is not None
    reader, writer = await asyncio.open_connection(found[1], int(found[2]))
    with contextlib.closing(writer):
        writer.write(request.format(path=found[3]).encode())
        async with asyncio.timeout(30):
            answer = (await reader.read()).decode()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), head, body


def parsed(text: str) -> Samples:
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples
            samples[key] = sample.value
    return samples


async def scraped(metrics: Metrics) -> Samples:
    status, head, body = await fetch(metrics.url)
    assert status == 200
    assert "Content-Type: text/plain; version=0.0.4" in head
    return parsed(body)


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def counted(net: DryNetwork, **counts: Any) -> None:
    """Give the link a->b these counters."""
    number = net.topology.peers["b"].number
    row = QdiscRow(
        ifindex=1, handle=handles.netem(number), parent=0, kind="netem", options=b"", counters=Counters(**counts)
    )
    net.dry.rows["a", "eth0"] = [row]


async def test_parameters_in_force_are_in_base_units() -> None:
    async with DryNetwork(pair()) as net, Metrics(net) as metrics:
        samples = await scraped(metrics)
        assert value(samples, "linkem_link_delay_seconds", **A_B) == 0.025
        assert value(samples, "linkem_link_jitter_seconds", **A_B) == 0.005
        assert value(samples, "linkem_link_loss_ratio", **A_B) == pytest.approx(0.05)
        assert value(samples, "linkem_link_loss_ratio", **B_A) == 0.02
        assert value(samples, "linkem_link_duplicate_ratio", **A_B) == 0.03
        assert value(samples, "linkem_link_rate_bytes_per_second", **A_B) == 1e6
        assert value(samples, "linkem_link_rate_bytes_per_second", **B_A) is None
        assert value(samples, "linkem_network_links", network="net") == 2
        assert value(samples, "linkem_network_start_time_seconds", network="net") == pytest.approx(net.started_at)
        applied = await net.update("a", "b", delay_ms=90)
        samples = await scraped(metrics)
        assert value(samples, "linkem_link_delay_seconds", **A_B) == 0.09
        assert (
            value(samples, "linkem_link_revision", **A_B)
            == value(samples, "linkem_network_revision", network="net")
            == 1
        )
        assert value(samples, "linkem_link_last_change_timestamp_seconds", **A_B) == applied.at
        assert value(samples, "linkem_link_revision", **B_A) == 0


async def test_counters_are_read_when_they_are_asked_for() -> None:
    async with DryNetwork(pair()) as net, Metrics(net) as metrics:
        assert value(await scraped(metrics), "linkem_link_sent_bytes_total", **A_B) == 0
        counted(net, packets=7, bytes=900, drops=3, overlimits=2, backlog_packets=4, backlog_bytes=600)
        samples = await scraped(metrics)
    assert value(samples, "linkem_link_sent_bytes_total", **A_B) == 900
    assert value(samples, "linkem_link_sent_packets_total", **A_B) == 7
    assert value(samples, "linkem_link_dropped_packets_total", **A_B) == 3
    assert value(samples, "linkem_link_lost_packets_total", **A_B) == 3
    assert value(samples, "linkem_link_queue_dropped_packets_total", **A_B) == 0
    assert value(samples, "linkem_link_overlimits_total", **A_B) == 2
    assert value(samples, "linkem_link_backlog_packets", **A_B) == 4
    assert value(samples, "linkem_link_backlog_bytes", **A_B) == 600
    assert samples["process_resident_memory_bytes", frozenset()] > 0


async def test_links_that_are_down_and_partitions_are_told() -> None:
    async with DryNetwork(pair()) as net, Metrics(net) as metrics:
        await net.down("a", "b", one_way=True)
        await net.partition({"a"}, {"b"})
        samples = await scraped(metrics)
        assert [value(samples, f"linkem_link_{name}", **A_B) for name in ("up", "down", "outage")] == [0, 1, 0]
        assert [value(samples, f"linkem_link_{name}", **B_A) for name in ("up", "down", "outage")] == [1, 0, 0]
        assert value(samples, "linkem_network_partition_groups", network="net") == 2


async def test_schedules_and_their_outages_are_told() -> None:
    topology = Topology("net")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.add_link("a", "b", schedule=Steps([(0, {"outage": True})]))
    async with DryNetwork(topology) as net, Metrics(net) as metrics:
        await until(lambda: net.schedules.pace.ticks > 0)
        samples = await scraped(metrics)
        assert [value(samples, f"linkem_link_{name}", **A_B) for name in ("up", "down", "outage")] == [0, 0, 1]
        assert value(samples, "linkem_schedule_ticks_total", network="net") == net.schedules.pace.ticks
        assert value(samples, "linkem_schedules_failed", network="net") == 0
        lag_s = value(samples, "linkem_schedule_longest_lag_seconds", network="net")
        assert lag_s == net.schedules.pace.longest_s > 0


async def test_the_same_comes_from_the_other_end_of_a_control_socket(tmp_path: Path) -> None:
    async with (
        DryNetwork(pair()) as net,
        LocalStation(net) as local,
        Server(local, name="net") as server,
        Metrics(local) as here,
    ):
        await net.down("a", "b")
        await server.listen_unix(tmp_path / "s")
        async with await RemoteStation.connect_unix(tmp_path / "s") as remote, Metrics(remote) as there:
            both = [await scraped(metrics) for metrics in (here, there)]
        linkem = [{key: found for key, found in one.items() if key[0].startswith("linkem")} for one in both]
        assert linkem[0] == linkem[1]
        assert value(linkem[1], "linkem_link_up", **A_B) == 0
        assert (await fetch(here.url))[0] == 200


async def test_scrapes_at_the_same_time_share_one_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    async with DryNetwork(pair()) as net, Metrics(net) as metrics:
        read, readings, go = net.stats, 0, asyncio.Event()

        async def stats() -> Any:
            nonlocal readings
            readings += 1
            await go.wait()
            return await read()

        monkeypatch.setattr(net, "stats", stats)
        scrapes = [asyncio.create_task(scraped(metrics)) for _ in range(5)]
        await until(lambda: len(metrics._clients) == 5 and readings > 0)
        await asyncio.sleep(0.05)
        go.set()
        results = await asyncio.gather(*scrapes)
        assert readings == 1
        assert all(value(one, "linkem_network_links", network="net") == 2 for one in results)
        await scraped(metrics)
        assert readings == 2


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ("GET /elsewhere HTTP/1.1\r\n\r\n", 404),
        ("POST {path} HTTP/1.1\r\n\r\n", 405),
        ("HEAD {path} HTTP/1.1\r\n\r\n", 200),
        ("GET {path}?x=1 HTTP/1.0\r\n\r\n", 200),
        ("hello\r\n\r\n", 400),
        ("GET {path} SPDY\r\n\r\n", 400),
        ("GET {path} HTTP/1.1\r\n" + "x: y\r\n" * 200 + "\r\n", 400),
        ("GET /" + "x" * 10_000 + " HTTP/1.1\r\n\r\n", 400),
    ],
)
async def test_what_else_may_be_asked(request_: str, status: int) -> None:
    async with DryNetwork(pair()) as net, Metrics(net) as metrics:
        found, head, body = await fetch(metrics.url, request_)
        assert found == status
        assert (body == "") == request_.startswith("HEAD")
        assert "Connection: close" in head


async def test_openmetrics_is_given_to_who_wants_it() -> None:
    async with DryNetwork(pair()) as net, Metrics(net) as metrics:
        request = "GET {path} HTTP/1.1\r\nAccept: application/openmetrics-text; version=1.0.0\r\n\r\n"
        _, head, body = await fetch(metrics.url, request)
    assert "Content-Type: application/openmetrics-text; version=1.0.0" in head
    assert body.endswith("# EOF\n")


async def test_a_network_that_has_ended_or_fails_is_an_error_of_the_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Metrics(DryNetwork(pair())) as metrics:
        status, _, body = await fetch(metrics.url)
        assert (status, body) == (503, "network 'net' has ended, or has not begun\n")
    async with DryNetwork(pair()) as net, Metrics(net) as metrics:

        async def stats() -> Any:
            raise KernelError("the kernel has a headache")

        monkeypatch.setattr(net, "stats", stats)
        assert (await fetch(metrics.url))[::2] == (503, "the kernel has a headache\n")


async def test_clients_that_say_nothing_are_let_go_and_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CLIENTS", 2)
    async with DryNetwork(pair()) as net, Metrics(net) as metrics:
        port = int(metrics.url.split(":")[2].split("/")[0])
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        await until(lambda: len(metrics._clients) == 2)
        assert (await fetch(metrics.url))[0] == 503
        await metrics.close()
        await metrics.close()
        for reader, writer in silent:
            async with asyncio.timeout(30):
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
            writer.close()


async def test_a_port_that_is_taken_is_said() -> None:
    async with DryNetwork(pair()) as net, Metrics(net) as metrics:
        port = int(metrics.url.split(":")[2].split("/")[0])
        with pytest.raises(RequestError, match=rf"metrics must be where this machine can listen .*127.0.0.1:{port}"):
            await Metrics(net, port=port).__aenter__()
        with pytest.raises(RequestError, match="metrics: port must be between 0 and 65535: 70000"):
            Metrics(net, port=70_000)


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Metrics]:
    async with DryNetwork(pair()) as net, Metrics(net) as metrics:
        yield metrics


async def test_every_metric_is_in_the_document_and_the_other_way_round() -> None:
    async with running() as metrics:
        _, _, body = await fetch(metrics.url)
    told = {name for name, _ in parsed(body) if name.startswith("linkem_")}
    documented = set(re.findall(r"^\| `(linkem_\w+)`", DOCUMENT.read_text(), re.MULTILINE))
    assert told == documented
