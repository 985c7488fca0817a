"""Measures every link of a running network."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import attrs

from linkem_py.errors import RequestError
from linkem_py.model import Impairment
from linkem_py.model.topology import LinkKey
from linkem_py.plan.translate import burst_bytes
from linkem_py.report import expect, judge, pace
from linkem_py.report.calibrate import calibrate, delays_ms, on_thread
from linkem_py.report.figures import distribution
from linkem_py.report.goodput import LARGEST, RECEIVE_BUFFER, Filled, Filling, batches, fill
from linkem_py.report.history import History
from linkem_py.report.model import Figure, LinkReport, Machine, Report
from linkem_py.report.phases import Phase, hardest, phases
from linkem_py.report.probes import Probed, Probes
from linkem_py.report.stations import Stations
from linkem_py.runtime import LinkStats, Network, NetworkStats

Progress = Callable[[str, float], None]

ECHOES_PER_PAIR, LEAST_ECHOES, ECHOES_PER_S = 200, 20, 150
FILLING_S = 20.0  # longest time for all goodput, unless a duration is given
LEAST_PROBING_S = 1.0
_COUNTERS = ("packets", "bytes", "drops", "lost", "queue_drops", "overlimits")


async def measure(
    network: Network,
    *,
    duration_s: float | None = None,
    progress: Progress | None = None,
    machine: Machine | None = None,
) -> Report:
    """Measure every link of a network and compare with what its topology asks for.

    All links are probed at the same time, at a pace that neither they nor the machine notice;
    then links with a rate are filled, a few at a time. Nothing else should use the network
    meanwhile: what other programs send shares queues with the probes.

    Parameters
    ----------
    network : a network that runs
    duration_s : about how long to take, calibration (1.5 s) apart; longer means more samples.
        Default: as long as the rarest events need, 6 to 14 s, and up to 20 s for rates
    progress : called with a stage's name and how much of it is done, 0 to 1
    machine : what `calibrate` found a moment ago, so that no time of the network's schedules is spent on that

    A link with a schedule is held against what was in force when each probe was sent, and has a report for each of
    its phases: all the time in which it did the same. Of more than eight phases the means are told. Such
    links are probed for all of `duration_s`, and they are not filled, nor are echoes sent over them.

    What the figures include: one-way delays run from right before the send call to the
    kernel's time stamp at the destination's interface, so they contain the machine's floor
    (`Report.machine`), which is reported and tolerated, never subtracted. Losses are probes of
    which no copy arrived. Round trips are ICMP echoes. Goodput is counted in Ethernet frames
    without their check sequence, as rates are.

    Raises `RequestError` for a duration that is not above 0.
    """
    if duration_s is not None and not duration_s > 0:
        raise RequestError("duration_s", "must be above 0", duration_s)
    tell = progress or (lambda stage, share: None)
    started_at, started = time.time(), time.monotonic()
    if machine is None:
        tell("calibrating", 0.0)
        machine = await calibrate()
        tell("calibrating", 1.0)
    before = await network.stats()
    impairments = {key: link.impairment for key, link in network.topology.links.items()}
    with Stations(network, impairments) as stations, History(network) as history:
        steady = {key: one for key, one in impairments.items() if key not in history}
        paced = {key: one if key in steady else hardest(history.possible(key)) for key, one in impairments.items()}
        fillings = fillings_of(steady)
        groups, left_out = affordable(fillings, machine, FILLING_S if duration_s is None else duration_s / 2)
        filling_s = sum(time_of(fillings, group) for group in groups)
        seconds = _probing_s(paced, machine, duration_s, filling_s if steady == impairments else 0.0)
        longest_ms = max(
            (expect.longest_delay_ms(one) for key in impairments for one in history.possible(key)), default=0.0
        )
        probed, machine = await _probe(stations, paced, _pairs(steady), longest_ms, machine, seconds, tell)
    fills = await fill_all(network, fillings, groups, tell)
    after = await network.stats()
    return Report(
        topology=network.topology.name,
        release=network.capabilities.release,
        capabilities=network.capabilities,
        seed=network.seed,
        notes=(*network.notes, *probing_remarks(probed, machine)),
        started_at=started_at,
        duration_s=time.monotonic() - started,
        machine=machine,
        links=tuple(_links(network, impairments, probed, fills, left_out, machine, history, before, after)),
    )


# --- probing -------------------------------------------------------------------------------------


def _probing_s(
    impairments: Mapping[LinkKey, Impairment], machine: Machine, duration_s: float | None, filling_s: float
) -> float:
    if duration_s is not None:
        return max(LEAST_PROBING_S, duration_s - filling_s)
    return pace.duration_s(impairments, call_us=machine.call_us, packet_us=machine.packet_us)


async def _probe(
    stations: Stations,
    impairments: Mapping[LinkKey, Impairment],
    pairs: list[LinkKey],
    longest_ms: float,
    machine: Machine,
    seconds: float,
    tell: Progress,
) -> tuple[Probed, Machine]:
    plans = pace.allot(impairments, seconds=seconds, call_us=machine.call_us, packet_us=machine.packet_us)
    requests = int(min(ECHOES_PER_PAIR, ECHOES_PER_S * seconds / max(1, len(pairs))))
    if requests < LEAST_ECHOES:
        pairs, requests = pairs[: int(ECHOES_PER_S * seconds / LEAST_ECHOES)], LEAST_ECHOES
    loop = asyncio.get_running_loop()
    probes = Probes(
        stations, plans, seconds=seconds, settle_s=0.25 + 2 * longest_ms / 1000, echoes=pairs, requests=requests,
        progress=lambda share: soon(loop, lambda: tell("probing", share)),
    )  # fmt: skip
    tell("probing", 0.0)
    probed = await on_thread(probes.run, probes.stop)
    tell("probing", 1.0)
    paused = sum(end - start for start, end in probed.pauses) / 1e6
    return probed, attrs.evolve(machine, pauses=len(probed.pauses), paused_ms=paused)


def _pairs(impairments: Mapping[LinkKey, Impairment]) -> list[LinkKey]:
    """One of the two directions of every pair that has both."""
    found: dict[tuple[frozenset[str], str], LinkKey] = {}
    for source, destination, segment in impairments:
        if (destination, source, segment) in impairments:
            found.setdefault((frozenset((source, destination)), segment), (source, destination, segment))
    return list(found.values())


def soon(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    """Call a function in a loop from another thread; not at all if the loop is closed."""
    try:
        loop.call_soon_threadsafe(function)
    except RuntimeError:
        pass  # the loop was closed before its thread had ended: nobody is there to be told


def probing_remarks(probed: Probed, machine: Machine) -> list[str]:
    """What one should know about probes: the clock, full sockets, pauses of the machine."""
    remarks = []
    if probed.clock_stepped:
        remarks.append("the machine's clock was set while measuring: delays are not to be trusted")
    if probed.overflowed:
        remarks.append(
            f"{probed.overflowed} probes count as lost that did arrive: at a full socket, or with a damaged header"
        )
    if machine.pauses:
        remarks.append(
            f"this machine paused {machine.pauses} times, {machine.paused_ms:.0f} ms in all; "
            "delays of packets that arrived meanwhile are left out"
        )
    return remarks


# --- filling -------------------------------------------------------------------------------------


def fillings_of(impairments: Mapping[LinkKey, Impairment]) -> dict[LinkKey, Filling]:
    """How to fill the links that have a rate and let something pass."""
    return {
        key: Filling.of(one, rate_kbit=one.rate_kbit)
        for key, one in impairments.items()
        if one.rate_kbit is not None and one.mean_loss_pct < 95
    }


def affordable(
    fillings: Mapping[LinkKey, Filling], machine: Machine, budget_s: float
) -> tuple[list[list[LinkKey]], list[LinkKey]]:
    """Batches of links to fill within the time, and the links for which none is left."""
    groups: list[list[LinkKey]] = []
    left_out: list[LinkKey] = []
    for group in batches(fillings, packet_us=machine.packet_us):
        budget_s -= time_of(fillings, group)
        if budget_s >= 0 or not groups:
            groups.append(group)
        else:
            left_out += group
    return groups, left_out


def time_of(fillings: Mapping[LinkKey, Filling], group: Sequence[LinkKey]) -> float:
    """Seconds that it takes to fill the links of a group at the same time."""
    return max(fillings[key].seconds for key in group) + max(fillings[key].tail_s for key in group)


async def fill_all(
    network: Network,
    fillings: Mapping[LinkKey, Filling],
    groups: Sequence[Sequence[LinkKey]],
    tell: Progress,
) -> dict[LinkKey, Filled]:
    """Fill links, a group at a time."""
    stopped = threading.Event()
    found: dict[LinkKey, Filled] = {}
    for index, group in enumerate(groups):
        tell("filling", index / len(groups))
        # Sockets of their own: the room that a filled link needs, for as long as it is needed.
        with Stations(network, group, receive_bytes=RECEIVE_BUFFER) as stations:
            found |= await on_thread(partial(fill, stations, fillings, group, stopped), stopped.set)
    if groups:
        tell("filling", 1.0)
    return found


def _of_filling(
    impairment: Impairment, filled: Filled | None, around: judge.Circumstances, *, in_time: bool
) -> list[Figure]:
    if filled is not None:
        skip = 2.0 * max(burst_bytes(impairment), LARGEST)
        return [judge.goodput(impairment, filled, skip_bytes=skip), judge.full_wait(impairment, filled, around)]
    why = "the link loses nearly everything" if in_time else "no time left: measure for a longer duration"
    return [Figure(name="goodput", unit="kbit/s", asked=impairment.rate_kbit, note=why)]


# --- the report ----------------------------------------------------------------------------------


def _links(
    network: Network,
    impairments: Mapping[LinkKey, Impairment],
    probed: Probed,
    fills: Mapping[LinkKey, Filled],
    left_out: Sequence[LinkKey],
    machine: Machine,
    history: History,
    before: NetworkStats,
    after: NetworkStats,
) -> list[LinkReport]:
    reports = []
    for key, impairment in impairments.items():
        sample = probed.samples[key]
        around = judge.Circumstances.of(network.topology, network.capabilities, impairment, machine)
        stats = _difference(before.get(key), after.get(key))
        if key in history:
            found = phases(history.spells(key), sample, history.began_ns, partial(delays_ms, probed=probed), around)
            reports += [_of_phase(key, phase, probed, stats if phase is found[0] else {}) for phase in found]
            continue
        delays = delays_ms(sample, probed)
        figures = [*judge.link_figures(impairment, sample, delays, around)]
        source, destination, segment = key
        back = impairments.get((destination, source, segment))
        if back is not None and (destination, source, segment) not in history:
            echo = probed.echoes.get(key) or probed.echoes.get((destination, source, segment))
            requests, times = echo if echo is not None else (0, delays[:0])
            figures.append(judge.round_trip(impairment, back, requests, times, around))
        if impairment.rate_kbit is not None:
            figures += _of_filling(impairment, fills.get(key), around, in_time=key not in left_out)
        reports.append(
            LinkReport(
                source=source,
                destination=destination,
                segment=segment,
                impairment=impairment,
                sent=sample.packets,
                received=len(sample.numbers),
                figures=tuple(figures),
                delays=distribution(delays),
                stats=stats,
            )
        )
    return reports


def _of_phase(key: LinkKey, phase: Phase, probed: Probed, stats: dict[str, int]) -> LinkReport:
    source, destination, segment = key
    return LinkReport(
        source=source,
        destination=destination,
        segment=segment,
        impairment=phase.impairment,
        phase=phase.label,
        sent=phase.sample.packets,
        received=len(phase.sample.numbers),
        figures=phase.figures,
        delays=distribution(delays_ms(phase.sample, probed)),
        stats=stats,
    )


def _difference(before: LinkStats | None, after: LinkStats | None) -> dict[str, int]:
    if before is None or after is None:
        return {}
    return {name: getattr(after, name) - getattr(before, name) for name in _COUNTERS}
