"""How many probes each link gets, and when. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs

from linkem_py.model import Impairment
from linkem_py.model.topology import LinkKey
from linkem_py.report import expect

EVENTS = 24  # losses (duplicates, ...) to expect at least: an interval of about +-40 %
LEAST_TRAINS, MOST_TRAIN = 400, 8
NOTHING_ASKED = 4000  # packets that tell "none" from 0.1 %
MOST_PACKETS = 60_000
RATE_SHARE = 0.2  # of a link's rate that probes may take
TRAIN_RATE_KBIT = 5_000  # slower links get their probes one by one
PROCESSOR_SHARE = 0.4  # of one processor's time that probing may take
SHORTEST_S, LONGEST_S = 6.0, 14.0
PAYLOAD, DAMAGED_PAYLOAD = 24, 200  # bytes; larger where corruption of the payload is to be seen
HEADERS = 42


@attrs.frozen
class Probing:
    """`trains` trains of `train` packets of `payload` bytes each, evenly over the time."""

    trains: int
    train: int
    payload: int

    @property
    def packets(self) -> int:
        """How many packets that is."""
        return self.trains * self.train

    @property
    def frame(self) -> int:
        """Bytes of one probe on the link."""
        return self.payload + HEADERS


@attrs.frozen
class Wish:
    """What a link would need: so many packets, in at least so many trains."""

    packets: int
    trains: int


def wanted(impairment: Impairment) -> int:
    """Packets that make the rarest event asked for happen often enough to be counted."""
    loss = expect.loss_of(impairment)
    needs = [float(NOTHING_ASKED)]
    for share, inflation in (
        (loss.mean, loss.inflation),
        (impairment.duplicate_pct / 100, 1.0),
        (impairment.corrupt_pct / 100, 1.0),
        (expect.at_once_share(impairment), 1.0),
    ):
        if 0 < share < 1:
            needs.append(EVENTS / share * inflation)
    return int(min(MOST_PACKETS, max(needs)))


def payload_of(impairment: Impairment) -> int:
    """Bytes of a probe's payload."""
    return DAMAGED_PAYLOAD if impairment.corrupt_pct else PAYLOAD


def within_rate(impairment: Impairment, seconds: float) -> float:
    """Probes that take no more than their share of the link's rate, and of its slots."""
    frame = payload_of(impairment) + HEADERS
    rate_kbit = math.inf
    if impairment.rate_kbit is not None:
        rate_kbit = impairment.rate_kbit * frame / expect.charged_bytes(impairment, frame)
    if impairment.slot is not None:
        rate_kbit = min(rate_kbit, expect.slots_kbit(impairment.slot, frame))
    return rate_kbit * 125 * RATE_SHARE * seconds / frame


def train_of(impairment: Impairment, packets: float, *, trains: int = LEAST_TRAINS) -> int:
    """Packets sent back to back. Only the first tells a delay, all tell loss."""
    if impairment.rate_kbit is not None and impairment.rate_kbit < TRAIN_RATE_KBIT:
        return 1
    if impairment.slot is not None and impairment.slot.is_limited:
        return 1
    return int(min(MOST_TRAIN, max(1, packets // trains)))


def cost_s(packets: float, train: int, *, call_us: float, packet_us: float) -> float:
    """Processor time of so many packets."""
    return packets * (call_us / train + packet_us) / 1e6


def duration_s(impairments: Mapping[LinkKey, Impairment], *, call_us: float, packet_us: float) -> float:
    """How long to probe, so that all that is wanted fits in; 6 to 14 seconds."""
    work = 0.0
    for impairment in impairments.values():
        packets = wanted(impairment)
        work += cost_s(packets, train_of(impairment, packets), call_us=call_us, packet_us=packet_us)
    return min(LONGEST_S, max(SHORTEST_S, work / PROCESSOR_SHARE))


def allot(
    impairments: Mapping[LinkKey, Impairment],
    *,
    seconds: float,
    call_us: float,
    packet_us: float,
    wanting: Mapping[LinkKey, Wish] | None = None,
) -> dict[LinkKey, Probing]:
    """Probes for every link, within the rates of the links and the processor's time.

    Links that want little get it; what is left is shared evenly by those that want more. `wanting`
    says how much that is; without it enough for each to see the rarest event.
    """
    wishes = wanting or {key: Wish(wanted(one), LEAST_TRAINS) for key, one in impairments.items()}
    limits = {key: min(wishes[key].packets, within_rate(one, seconds)) for key, one in impairments.items()}
    budget = PROCESSOR_SHARE * seconds

    def train(key: LinkKey, packets: float) -> int:
        return train_of(impairments[key], packets, trains=wishes[key].trains)

    def work(level: float) -> float:
        total = 0.0
        for key in impairments:
            packets = min(level, limits[key])
            total += cost_s(packets, train(key, packets), call_us=call_us, packet_us=packet_us)
        return total

    low, high = 1.0, max((float(wish.packets) for wish in wishes.values()), default=1.0)
    if work(high) > budget:
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if work(middle) <= budget else (low, middle)
        high = low
    plans = {}
    for key, one in impairments.items():
        packets = max(1.0, min(high, limits[key]))
        size = train(key, packets)
        plans[key] = Probing(max(1, round(packets / size)), size, payload_of(one))
    return plans
