import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import examples
from examples import cross_traffic, live_control, pubsub_latency, recorded_ride, request_latency, tcp_window
from examples.lease_test.lease import Claim, conflict, led_s
from linkem_py.report import timeline
from linkem_py.runtime import read_recording
from topologies import regions

COMMANDS = {
    "request_latency": "linkem guest -- python examples/request_latency.py",
    "tcp_window": "linkem guest -- python examples/tcp_window.py",
    "pubsub_latency": "linkem guest -- python examples/pubsub_latency.py",
    "recorded_ride": "linkem guest -- python examples/recorded_ride.py ride.jsonl",
    "cross_traffic": "linkem guest -- python examples/cross_traffic.py",
    "live_control": "python examples/live_control.py",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_says_what_it_does(name: str) -> None:
    folder = Path(next(iter(examples.__path__)))
    environment = {**os.environ, "PYTHONPATH": str(folder.parent)}
    done = subprocess.run(
        [sys.executable, str(folder / f"{name}.py"), "--help"],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert COMMANDS[name] in done.stdout
    assert len((folder / f"{name}.py").read_text().splitlines()) < 160


@pytest.mark.kernel("netem", "htb")
async def test_requests_take_the_round_trip_of_their_pair_at_least() -> None:
    times = await request_latency.measure(requests=4, size=100)
    topology = regions.topology()
    assert len(times) == 12
    for (source, destination), values in times.items():
        there, back = topology.link(source, destination).impairment, topology.link(destination, source).impairment
        assert len(values) == 4
        assert min(values) >= there.delay_ms + back.delay_ms - there.jitter_ms - back.jitter_ms
    assert request_latency.table_of(times).row_count == 12


@pytest.mark.kernel("netem", "htb")
async def test_a_small_window_costs_throughput() -> None:
    small, large = await tcp_window.sweep((8192, 262_144), seconds=1.5)
    assert 0 < small.window < 50_000 < large.window
    assert small.theory_kbit < large.theory_kbit == pytest.approx(9564, rel=0.01)
    # Never more than theory; how much less is the machine's affair.
    assert small.measured_kbit < 1.15 * small.theory_kbit
    assert small.measured_kbit < large.measured_kbit < 1.1 * large.theory_kbit


@pytest.mark.kernel("netem", "htb")
async def test_every_subscriber_gets_every_message_no_sooner_than_its_links_allow() -> None:
    latencies = await pubsub_latency.measure(count=20, rate=50)
    assert latencies.keys() == pubsub_latency.SUBSCRIBERS.keys()
    for name, times in latencies.items():
        first, second = pubsub_latency.PUBLISHER, pubsub_latency.SUBSCRIBERS[name]
        assert len(times) == 20
        assert np.min(times) >= first.delay_ms - first.jitter_ms + second.delay_ms - second.jitter_ms


@pytest.mark.kernel("netem", "htb")
async def test_a_full_link_delays_and_loses_and_an_empty_one_does_neither() -> None:
    empty, full = await cross_traffic.measure((0, 200), count=60)
    assert empty.dropped_pct == 0 < full.dropped_pct
    assert cross_traffic.LINK.delay_ms <= empty.delay_ms < full.delay_ms
    # All that gets in waits behind nearly a full queue of 300 ms: a frame of 6 ms may be short of it.
    assert full.delay_ms > 100
    assert cross_traffic.table_of([empty, full]).row_count == 2


@pytest.mark.netem
async def test_a_delay_raised_over_mqtt_shows_in_a_ping_that_runs() -> None:
    live = await live_control.run(delay_ms=140, count=30)
    assert live.asked == {"before": 40, "after": 140}
    assert len(live.before) >= 9
    assert len(live.after) >= 10
    # The jitter is 5 ms each way, so that the medians are sure to a few of them.
    assert 80 < live_control.difference_ms(live) < 120
    assert live.command.startswith(("mosquitto_pub", "aiomqtt"))


@pytest.mark.kernel("netem", "htb", "gact", "clsact")
async def test_a_ride_is_recorded_with_what_it_sent_and_what_was_done_to_it(tmp_path: Path) -> None:
    await recorded_ride.ride(tmp_path / "ride.jsonl", seconds=3)
    recording = read_recording(tmp_path / "ride.jsonl")
    assert recording.is_whole
    found = timeline(recording, ("camera", "studio", "lan"))
    assert {span.kind for span in found.spans} == {"partition"}  # the outage would begin at 6 s
    assert np.nanmax(found.goodput_kbit.values) > 0
    assert 80 in found.delay_ms.values
    rates = [change for change in recording.changes if change.what == "schedule"]
    assert len(rates) >= 5


@pytest.mark.virtual_time
@pytest.mark.parametrize(("options", "status", "said"), [([], 0, "never two at once"), (["--bug"], 1, "two at once: ")])
def test_an_hour_of_partitions_shows_whether_leases_are_right(options: list[str], status: int, said: str) -> None:
    folder = Path(next(iter(examples.__path__)))
    guest = [sys.executable, "-m", "linkem_py.guest", "--virtual-time"]
    done = subprocess.run(
        [*guest, "--", sys.executable, "-m", "examples.lease_test", *options],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(folder.parent)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert (done.returncode, said in done.stdout) == (status, True), done.stdout + done.stderr
    found = re.search(r"3,600 s, (\d+) partitions: (\d+) leaders, for (\d+)% of the time", done.stdout)
    assert found is not None
    assert int(found[1]) > 100
    assert int(found[2]) > 20
    assert int(found[3]) > 50


def test_two_leaders_at_once_are_found() -> None:
    ada, later = Claim("ada", 0, 10), Claim("ada", 5, 15)
    assert conflict([ada, later, Claim("bob", 15, 25)]) is None
    assert conflict([ada, later, Claim("bob", 14, 24)]) == (later, Claim("bob", 14, 24))
    assert led_s([ada, later, Claim("bob", 20, 25)]) == 20
