"""Verifies every link of a topology: brings it up, measures as long as it takes, and judges."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence

import attrs

from linkem_py.errors import RequestError
from linkem_py.model import Topology
from linkem_py.model.schedule import Schedule
from linkem_py.model.topology import LinkKey, link_name
from linkem_py.plan.translate import burst_bytes
from linkem_py.report import expect, judge, pace
from linkem_py.report.calibrate import calibrate, delays_ms, on_thread
from linkem_py.report.goodput import LARGEST
from linkem_py.report.measure import Progress, affordable, fill_all, fillings_of, probing_remarks, soon, time_of
from linkem_py.report.model import Machine
from linkem_py.report.probes import Probed, Probes
from linkem_py.report.stations import Stations
from linkem_py.report.verify.check import Check, LinkChecks, Verification
from linkem_py.report.verify.checks import Checks
from linkem_py.report.verify.following import Followed, follow
from linkem_py.report.verify.needs import Need, Tolerances, needs, wish
from linkem_py.report.verify.tolerance import parse
from linkem_py.runtime import Network

CONFIDENCE = 0.99
DURATION_S = 60.0
LEAST_PROBING_S, LEAST_SCHEDULE_S, SCHEDULE_S = 2.0, 5, 30
MACHINE_LIMIT = 0.5  # of the time of a processor for sending at most


async def verify(
    topology: Topology,
    *,
    tolerances: Tolerances | None = None,
    links: Collection[LinkKey] | None = None,
    duration_s: float = DURATION_S,
    confidence: float = CONFIDENCE,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Hold what the links of a topology do against what it asks, with a confidence.

    How many packets that takes follows from the tolerances beforehand (docs/verify.md has the
    formulas). Where the time, a link's rate or the machine do not allow them, the check is
    undecided, unless what was measured is out of tolerance for certain.

    First the links are probed as they are without their schedules; then those with a rate are
    filled; then those whose schedule changes their rate are filled while it runs.

    Parameters
    ----------
    topology : stays as it is; a network of it is brought up and taken down
    tolerances : by quantity, as `parse` gives them; the defaults are `TOLERANCES`
    links : to verify; None for all
    duration_s : how long to take at most, in seconds, calibration (1.5 s) apart
    confidence : of the intervals, and that no link which does as asked is said to be out of tolerance
    seed : of the run; see `Network`

    Raises `RequestError` for values that cannot be and links that are not there, and what
    bringing up a network raises.
    """
    if not duration_s > 0:
        raise RequestError("duration_s", "must be above 0", duration_s)
    if not 0.5 <= confidence < 1:
        raise RequestError("confidence", "must be from 0.5 to below 1", confidence)
    keys = list(topology.links) if links is None else [key for key in topology.links if key in links]
    for key in links or ():
        if key not in topology.links:
            raise RequestError("links", "must be links of the topology", link_name(key))
    tell = progress or (lambda stage, share: None)
    started = time.monotonic()
    tell("calibrating", 0.0)
    machine = await calibrate()
    still = topology.copy()
    for source, destination, segment in topology.schedules:
        still.set_schedule(source, destination, None, segment=segment)
    async with Network(still, seed=seed) as network:
        schedules = {key: topology.schedules[key] for key in keys if key in topology.schedules}
        run = _Run(network, keys, schedules, machine, tolerances or parse(()), confidence, duration_s, tell)
        checked = await run.check()
        return Verification(
            topology=topology.name,
            release=network.capabilities.release,
            seed=network.seed,
            confidence=confidence,
            level=run.level,
            floor_ms=run.machine.floor_ms,
            allowance_ms=run.machine.allowance_ms,
            duration_s=time.monotonic() - started,
            links=tuple(LinkChecks(key=key, checks=tuple(found)) for key, found in checked.items()),
            notes=(*network.notes, *run.notes),
        )


class _Run:
    def __init__(
        self,
        network: Network,
        keys: Sequence[LinkKey],
        schedules: Mapping[LinkKey, Schedule],
        machine: Machine,
        tolerances: Tolerances,
        confidence: float,
        duration_s: float,
        tell: Progress,
    ) -> None:
        self._network = network
        self._impairments = {key: network.topology.links[key].impairment for key in keys}
        self.machine = machine
        self._tolerances = tolerances
        self._confidence = confidence
        self._tell = tell
        self.notes: list[str] = []
        self._scheduled = {key: one for key, one in schedules.items() if self._is_rated(key, one)}
        self._fillings = fillings_of(self._impairments)
        self._around = {
            key: judge.Circumstances.of(network.topology, network.capabilities, one, machine)
            for key, one in self._impairments.items()
        }
        self.level = 1 - (1 - confidence) / max(1, self._count(confidence))
        self._needs = {key: self._need(key, self.level) for key in keys}
        self._left_s = duration_s

    def _need(self, key: LinkKey, level: float) -> dict[str, Need]:
        return needs(self._impairments[key], self._around[key], self._tolerances, level=level)

    def _count(self, level: float) -> int:
        return (
            sum(len(self._need(key, level)) for key in self._impairments) + len(self._fillings) + len(self._scheduled)
        )

    def _is_rated(self, key: LinkKey, schedule: Schedule) -> bool:
        """Whether a schedule's rate can be seen second by second; says why if not."""
        under = self._impairments[key]
        bounds = schedule.bounds("rate_kbit", under)
        own_rate = self._network.topology.classifier != "htb" or under.shaper == "netem"
        if bounds is None or bounds[1] == float("inf"):
            why = "has no rate, or an unlimited one"
        elif own_rate:
            why = "changes netem's own rate, which packets that wait already do not follow"
        elif under.slot is not None and under.slot.is_limited:
            why = "is under slots that can be full"
        else:
            return True
        self.notes.append(f"{link_name(key)}: its schedule {why}: not verified")
        return False

    async def check(self) -> dict[LinkKey, list[Check]]:
        """All checks by link."""
        schedule_s = self._seconds_each()
        self._left_s -= (schedule_s + 1) * len(self._scheduled)
        groups, left_out = affordable(self._fillings, self.machine, self._left_s / 2)
        filling_s = sum(time_of(self._fillings, group) for group in groups)
        with Stations(self._network, self._impairments) as stations:
            probed = await self._probe(stations, max(LEAST_PROBING_S, self._left_s - filling_s))
        filled = await fill_all(self._network, self._fillings, groups, self._tell)
        followed = {key: await self._follow(key, schedule_s) for key in self._scheduled}
        await self._calibrate_again()
        found: dict[LinkKey, list[Check]] = {}
        for key, impairment in self._impairments.items():
            checks = Checks(
                impairment, self._around[key], self._needs[key], self._tolerances,
                confidence=self._confidence, level=self.level,
            )  # fmt: skip
            sample = probed.samples[key]
            found[key] = checks.of_probes(sample, delays_ms(sample, probed))
            if key in filled:
                skip = 2.0 * max(burst_bytes(impairment), LARGEST)
                found[key].append(checks.goodput(filled[key], skip_bytes=skip))
            elif key in left_out:
                text = "no time left: give it a longer --duration"
                found[key].append(Check(quantity="goodput", unit="kbit/s", asked=impairment.rate_kbit, note=text))
            if key in followed:
                found[key] += checks.schedule(followed[key])
        return found

    async def _calibrate_again(self) -> None:
        """A busy machine is not as late at one time as at another: the later of two holds."""
        again = await calibrate()
        if again.allowance_ms > self.machine.allowance_ms:
            self.machine = again
            self._around = {
                key: attrs.evolve(around, allowance_ms=again.allowance_ms) for key, around in self._around.items()
            }

    async def _follow(self, key: LinkKey, bins: int) -> Followed:
        self._tell(f"following {link_name(key)}", 0.0)
        most = MACHINE_LIMIT * 1e6 / self.machine.packet_us
        return await follow(self._network, key, self._scheduled[key], bins=bins, most_frames_per_s=most)

    def _seconds_each(self) -> int:
        if not self._scheduled:
            return 0
        affordable_s = self._left_s / 2 / len(self._scheduled) - 1
        return int(min(SCHEDULE_S, max(LEAST_SCHEDULE_S, affordable_s)))

    # --- probing -----------------------------------------------------------------------------------

    async def _probe(self, stations: Stations, most_s: float) -> Probed:
        machine = self.machine
        wishes = {key: wish(found) for key, found in self._needs.items()}
        work_s = sum(
            pace.cost_s(
                one.packets, pace.train_of(self._impairments[key], one.packets, trains=one.trains),
                call_us=machine.call_us, packet_us=machine.packet_us,
            )
            for key, one in wishes.items()
        )  # fmt: skip
        by_rate_s = (one.packets / pace.within_rate(self._impairments[key], 1.0) for key, one in wishes.items())
        needed_s = max(LEAST_PROBING_S, work_s / pace.PROCESSOR_SHARE, *by_rate_s)
        seconds = min(most_s, needed_s)
        plans = pace.allot(
            self._impairments, seconds=seconds, call_us=machine.call_us, packet_us=machine.packet_us, wanting=wishes
        )
        longest_ms = max((expect.longest_delay_ms(one) for one in self._impairments.values()), default=0.0)
        loop = asyncio.get_running_loop()
        probes = Probes(
            stations, plans, seconds=seconds, settle_s=0.25 + 2 * longest_ms / 1000,
            progress=lambda share: soon(loop, lambda: self._tell("probing", share)),
        )  # fmt: skip
        probed = await on_thread(probes.run, probes.stop)
        paused = sum(end - start for start, end in probed.pauses) / 1e6
        self.notes += probing_remarks(probed, attrs.evolve(machine, pauses=len(probed.pauses), paused_ms=paused))
        if seconds < needed_s:
            self.notes.append(f"probing for all that the confidence needs would have taken {needed_s:.0f} s")
        return probed
