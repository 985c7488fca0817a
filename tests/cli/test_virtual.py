"""``--virtual-time``: what it refuses, and networks in it, of which two runs are alike."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

import topologies
from linkem_py.guest.kernels import VARIABLE as KERNEL_VARIABLE

from .conftest import Linkem

ROOT = Path(next(iter(topologies.__path__))).parent
DEADLINE_S = 110


def ran(*words: str | Path, module: str = "linkem_py.cli.main", folder: Path | None = None) -> CompletedProcess[str]:
    """What became of a command line."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )


def virtually(*words: str | Path, folder: Path) -> tuple[int, str, str]:
    """Exit status, standard output, standard error of `linkem` in virtual time."""
    done = ran(*words, "--virtual-time", folder=folder)
    return done.returncode, done.stdout, done.stderr


def virtual_s(err: str) -> float:
    passed = re.search(r"linkem: ([\d,.]+) s of virtual time passed in [\d.,]+ s of real time", err)
    assert passed is not None, err
    return float(passed[1].replace(",", ""))


# --- what is refused


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "pair", "--default-rate", "1G"], "--default-rate needs --virtual-time"),
        (["run", "pair", "--start", "2031-01-01"], "--start needs --virtual-time"),
        (["verify", "pair", "--stall", "5"], "--stall needs --virtual-time"),
        (["run", "pair", "--virtual-time", "--start", "soon"], "must be a date such as"),
        (["run", "pair", "--virtual-time", "--stall", "-1"], "must be a number of seconds above 0"),
        (["run", "pair", "--virtual-time", "--default-rate", "1"], "must be a rate from 1k on"),
        (["run", "pair", "--virtual-time", "--kernel", "host"], "needs a guest kernel"),
        (["up", "pair", "--virtual-time", "--detach", "--duration", "1h"], "does not go with --detach"),
        (["up", "pair", "--virtual-time", "--mqtt", "embedded", "--duration", "1h"], "does not go with --mqtt"),
        (["up", "pair", "--virtual-time", "--metrics", "0", "--duration", "1h"], "does not go with --metrics"),
        (["verify", "pair", "--virtual-time", "--kernel", "host"], "needs a guest kernel"),
    ],
)
def test_what_does_not_go_together_is_refused(linkem: Linkem, words: list[str], said: str) -> None:
    outcome = linkem(*words)
    assert (outcome.status, said in outcome.err) == (2, True), outcome.err


def test_without_a_kernel_for_it_the_remedy_is_told(
    linkem: Linkem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv(KERNEL_VARIABLE, raising=False)
    outcome = linkem("run", "pair", "--virtual-time")
    assert outcome.status == 1
    assert "linkem kernel build" in outcome.err


@pytest.mark.virtual_time
def test_a_network_that_would_stay_up_for_ever_is_refused(linkem: Linkem) -> None:
    outcome = linkem("up", "pair", "--virtual-time")
    assert (outcome.status, "--virtual-time needs --duration" in outcome.err) == (2, True), outcome.err


@pytest.mark.parametrize("words", [["up", "pair", "--duration", "1h"], ["show", "pair"]], ids=["up", "show"])
def test_a_broker_outside_is_not_looked_for_in_vain(
    linkem: Linkem, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    pytest.importorskip("aiomqtt")
    monkeypatch.setenv("LINKEM_VIRTUAL_TIME", "1")
    outcome = linkem(*words, "--mqtt", "mqtt://127.0.0.1:1")
    assert (outcome.status, "Time is virtual in this guest" in outcome.err) == (1, True), outcome.err


# --- networks in it


@pytest.mark.virtual_time
def test_a_command_that_stops_the_clock_is_named_and_ended(tmp_path: Path) -> None:
    words = ["run", "pair", "--in", "a", "--virtual-time", "--start=2031-02-03", "--stall=30"]
    busy = ["--", "sh", "-c", "date -u +%F; sleep 60; while :; do :; done"]
    done = ran(*words, *busy, folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "2031-02-03\n"), done.stderr
    assert 60 < virtual_s(done.stderr) < 61
    assert "'sh' is busy and lets no time pass" in done.stderr


ECHO = """
import asyncio, json, socket, time
from linkem_py import Impairment, Network, Topology

async def main():
    topology = Topology("pair")
    topology.add_peer("a"); topology.add_peer("b")
    topology.connect("a", "b", Impairment(delay_ms=12.5, rate_kbit=10_000), back=Impairment(delay_ms=80))
    async with Network(topology) as net:
        here, there = (net.peer(name).socket(socket.AF_INET, socket.SOCK_DGRAM) for name in "ab")
        for sock, name in ((here, "a"), (there, "b")):
            sock.setblocking(False)
            sock.bind((net.peer(name).address, 7000))
        delays = {"there": [], "back": []}
        loop = asyncio.get_running_loop()
        for _ in range(200):
            for way, source, target, to in (("there", here, there, "b"), ("back", there, here, "a")):
                sent = time.monotonic_ns()
                source.sendto(b"x", (net.peer(to).address, 7000))
                await loop.sock_recv(target, 9)
                delays[way].append((time.monotonic_ns() - sent) / 1e6)
            await asyncio.sleep(0.1)
        print(json.dumps({"delays": delays, "rate": net.impairment("b", "a").rate_kbit, "seed": net.seed}))
        here.close(); there.close()

asyncio.run(main())
"""


@pytest.mark.virtual_time
def test_delays_are_what_was_asked_for_to_ten_microseconds(tmp_path: Path) -> None:
    words = ["--virtual-time", "--default-rate", "500M"]
    done = ran(*words, "--", sys.executable, "-c", ECHO, module="linkem_py.guest")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["rate"], found["seed"]) == (5e5, 0)
    for way, asked_ms in (("there", 12.5), ("back", 80)):
        assert asked_ms <= min(found["delays"][way])
        assert max(found["delays"][way]) < asked_ms + 0.010


TOPOLOGY = """
import random
from linkem_py import GilbertElliott, Impairment, Topology
from linkem_py.model import OrnsteinUhlenbeck

def topology():
    made = Topology("drifting")
    made.add_peer("a"); made.add_peer("b")
    link = Impairment(delay_ms=30, jitter_ms=10, rate_kbit=2000, loss=GilbertElliott(p_pct=2, r_pct=20))
    made.connect("a", "b", link, schedule=OrnsteinUhlenbeck(random.randint(1000, 3000), tau_s=5, tick_ms=500))
    return made
"""
PING = ["--in", "a", "--", "ping", "-q", "-c", "400", "-i", "0.5", "b"]


def recorded(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.virtual_time
def test_two_runs_do_the_same_at_the_same_times_and_lose_the_same_packets(tmp_path: Path) -> None:
    (tmp_path / "drifting.py").write_text(TOPOLOGY)
    runs = []
    for number in (1, 2):
        words = ["run", "drifting.py", f"--record={number}.jsonl", "--record-stats=30", "--virtual-time", *PING]
        done = ran(*words, folder=tmp_path)
        assert " received, " in done.stdout, done.stderr
        assert 200 < virtual_s(done.stderr) < 230
        received = re.findall(r"(\d+) packets transmitted, (\d+) received", done.stdout)
        runs.append((recorded(tmp_path / f"{number}.jsonl"), received))
    (first, received), (second, received_again) = runs
    assert received == received_again != []
    assert [(line.get("what"), line.get("links")) for line in first] == [
        (line.get("what"), line.get("links")) for line in second
    ]
    assert sum(line.get("what") == "schedule" for line in first) > 350
    times = [[line.get("at_s", 0) for line in found] for found in (first, second)]
    assert times[0] == pytest.approx(times[1], abs=1e-3)
    counters = [[row for line in run if "stats" in line for row in line["stats"]] for run in (first, second)]
    assert counters[0] == counters[1]
    assert counters[0][-1]["lost"] >= 5


@pytest.mark.virtual_time
def test_an_hour_of_a_network_that_stays_up_is_recorded_and_replayed(tmp_path: Path) -> None:
    words = ["up", "--preset", "lte", "--schedule", "race_4g", "--duration", "1h", "--record=hour.jsonl"]
    status, _, err = virtually(*words, "--record-stats=60", folder=tmp_path)
    assert status == 0, err
    assert 3600 < virtual_s(err) < 3620
    lines = recorded(tmp_path / "hour.jsonl")
    assert lines[-1]["at_s"] == pytest.approx(3600, abs=1)
    status, _, err = virtually("replay", "hour.jsonl", "--record=again.jsonl", "--record-stats=0", folder=tmp_path)
    assert status == 0, err
    changes = [[line for line in found if "links" in line] for found in (lines, recorded(tmp_path / "again.jsonl"))]
    assert len(changes[0]) == len(changes[1]) > 100


GREEDY = """
import socket, sys, threading, time
from linkem_py import Network, Topology
topology = Topology("pair")
topology.add_peer("a"); topology.add_peer("b")
topology.connect("a", "b")
with Network.blocking(topology) as net:
    print(*net.notes, flush=True)
    listener = net.peer("b").socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind((net.peer("b").address, 9000))
    listener.listen()
    sender = net.peer("a").socket(socket.AF_INET, socket.SOCK_STREAM)
    sender.connect(listener.getsockname())
    receiver, _ = listener.accept()
    def send():
        while time.monotonic() < end:
            sender.sendall(bytes(50_000))
        sender.close()
    began = time.monotonic()
    end = began + 1
    threading.Thread(target=send).start()
    got = 0
    while data := receiver.recv(1 << 20):
        got += len(data)
    print(got * 8 / 1e6 / (time.monotonic() - began))
    receiver.close(); listener.close()
"""


@pytest.mark.virtual_time
def test_a_greedy_sender_over_a_link_without_a_rate_is_no_standstill() -> None:
    words = ["--virtual-time", "--default-rate", "100M"]
    done = ran(*words, "--", sys.executable, "-c", GREEDY, module="linkem_py.guest")
    assert done.returncode == 0, done.stderr
    notes, mbit = done.stdout.splitlines()
    assert "links without a rate have 100 Mbit/s (2 of them)" in notes
    assert 80 < float(mbit) < 100
