"""The bonding scheduler without a clock or a socket: each rule, and all of it over links of plain arithmetic."""

from __future__ import annotations

import statistics
from collections import Counter

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.bonding_scheduler.balance import Balance
from examples.bonding_scheduler.bitrate import DOWN_TO, PAUSE_S, UP_PER_S, Bitrate
from examples.bonding_scheduler.estimate import ALPHA, BETA, CURRENT_SAMPLES, FLOOR_WINDOW_S, LinkEstimate
from examples.bonding_scheduler.round_robin import pick
from examples.bonding_scheduler.weights import (
    BACK_TO,
    BEYOND_DELIVERED,
    GROWTH_PER_S,
    Capacity,
    Strain,
    strain_of,
    weights_of,
)
from examples.bonding_scheduler.wire import DATAGRAM_BYTES, FRAME_BYTES, Datagram, Report, Tally

# ------------------------------------------------------------------------------------ the turns


def turns(weights: dict[str, float], count: int) -> list[str]:
    standing: dict[str, float] = {}
    found = []
    for _ in range(count):
        name, standing = pick(standing, weights)
        found.append(name)
    return found


def test_a_heavy_link_has_its_turns_spread_among_the_others() -> None:
    assert "".join(turns({"a": 5, "b": 1, "c": 1}, 7)) == "aabacaa"


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=6), st.integers(1, 300))
def test_each_link_has_as_many_turns_as_its_share_to_within_the_number_of_links(values: list[float], n: int) -> None:
    weights = {str(index): value for index, value in enumerate(values)}
    counts = Counter(turns(weights, n))
    for name, weight in weights.items():
        assert abs(counts[name] - n * weight / sum(values)) <= len(weights)


def test_turns_need_a_link() -> None:
    with pytest.raises(ValueError, match="must name a link"):
        pick({}, {})


# ------------------------------------------------------------------------------------- the wire


def test_what_is_sent_is_what_is_read() -> None:
    datagram = Datagram(number=7, on_link=3, sent_us=123_456_789)
    report = Report(highest=9, received=8, received_bytes=8336, echo_us=5, held_us=6)
    assert len(datagram.encode()) == DATAGRAM_BYTES
    assert Datagram.decode(datagram.encode()) == datagram
    assert Report.decode(report.encode()) == report


def test_a_tally_counts_and_echoes_the_last_to_arrive() -> None:
    tally = Tally()
    for number, at in ((1, 10.0), (3, 10.1), (2, 10.2)):
        tally = tally.arrived(Datagram(number=number, on_link=number, sent_us=number), frame_bytes=100, now=at)
    assert tally.report(10.5) == Report(highest=3, received=3, received_bytes=300, echo_us=2, held_us=300_000)


# -------------------------------------------------------------------------------- the estimates


def heard(round_trips_s: list[float], *, every_s: float = 0.1, sent: int = 10, arrived: int = 10) -> LinkEstimate:
    """After so many reports, each of `sent` more datagrams of which `arrived` came."""
    estimate = LinkEstimate()
    for index, rtt_s in enumerate(round_trips_s):
        now = 100 + index * every_s
        count = index + 1
        echo_us = round((now - rtt_s) * 1e6)
        report = Report(
            highest=count * sent, received=count * arrived, received_bytes=count * arrived * 1000, echo_us=echo_us
        )
        estimate = estimate.hear(report, now)
    return estimate


def test_the_round_trip_is_smoothed_as_in_rfc_6298() -> None:
    estimate = heard([0.100, 0.180])
    assert estimate.srtt_s == pytest.approx((1 - ALPHA) * 0.100 + ALPHA * 0.180)
    assert estimate.rttvar_s == pytest.approx((1 - BETA) * 0.050 + BETA * 0.080)
    assert estimate.timeout_s == 1.0
    assert heard([0.8, 0.2]).timeout_s > 1.0


def test_the_time_that_the_receiver_held_a_datagram_is_no_part_of_the_round_trip() -> None:
    estimate = LinkEstimate().hear(Report(highest=1, received=1, echo_us=1_000_000, held_us=90_000), 1.13)
    assert estimate.srtt_s == pytest.approx(0.040)


def test_a_queue_shows_above_the_floor_and_jitter_does_not() -> None:
    assert heard([0.040] * 20 + [0.120] * CURRENT_SAMPLES).waiting_s == pytest.approx(0.080, abs=1e-5)
    assert heard([0.040, 0.090] * 20).waiting_s == pytest.approx(0, abs=1e-5)
    # What overtakes is no floor.
    assert heard([0.150] * 20 + [0.070] + [0.150] * 10).floor_s == pytest.approx(0.150, abs=1e-5)
    assert LinkEstimate().floor_s == LinkEstimate().waiting_s == 0


def test_the_floor_follows_a_longer_link_when_its_window_has_passed() -> None:
    longer = int(FLOOR_WINDOW_S / 0.1) + 2
    assert heard([0.040] * 20 + [0.120] * longer).floor_s == pytest.approx(0.120, abs=1e-5)


def test_loss_and_delivered_rate_are_those_of_late() -> None:
    estimate = heard([0.040] * 100, sent=100, arrived=80)
    # 20 datagrams count beside the thousand or so that are remembered.
    assert 0.19 < estimate.loss < 0.20
    assert estimate.delivered_kbit == pytest.approx(80 * 8 / 0.1)
    assert heard([0.040] * 2, sent=1, arrived=0).loss < 0.1
    assert LinkEstimate().delivered_kbit == LinkEstimate().loss == 0


def test_what_comes_late_makes_its_loss_good_and_an_old_report_says_nothing() -> None:
    estimate = heard([0.040] * 3)
    later = estimate.hear(Report(highest=40, received=35), 100.3)
    assert later.loss > 0
    assert later.hear(Report(highest=40, received=40), 100.3).loss == pytest.approx(0)
    assert later.hear(Report(highest=39, received=34), 100.4) is later


def test_a_link_is_silent_when_nothing_arrives_for_its_time_out() -> None:
    estimate = heard([0.040] * 5)
    assert not estimate.silent(101.3)
    assert estimate.silent(101.5)
    # Reports that know of nothing new do not count, those that do end it.
    assert estimate.hear(estimate.last, 101.4).silent(101.5)
    more = attrs.evolve(estimate.last, highest=60, received=60, echo_us=101_360_000)
    assert not estimate.hear(more, 101.4).silent(101.5)
    assert not LinkEstimate().silent(1e9)
    assert LinkEstimate(arrived_at=5).silent(6.1)


# ---------------------------------------------------------------------------- beliefs, weights

FINE = heard([0.040] * 50)
QUEUED = heard([0.040] * 50 + [0.120] * 5)
LOSSY = heard([0.040] * 50, sent=10, arrived=7)
A_LITTLE = heard([0.040] * 50, sent=100, arrived=93)


@pytest.mark.parametrize(
    ("estimate", "after_s", "strain"),
    [
        (FINE, 0, Strain.NONE),
        (A_LITTLE, 0, Strain.SOME),
        (QUEUED, 0, Strain.QUEUE),
        (LOSSY, 0, Strain.LOSS),
        (LOSSY, 10, Strain.SILENT),
    ],
)
def test_a_strain_is_named(estimate: LinkEstimate, after_s: float, strain: Strain) -> None:
    assert strain_of(estimate, (estimate.heard_at or 0) + after_s) is strain
    assert strain.is_much == (strain in {Strain.QUEUE, Strain.LOSS, Strain.SILENT})


def test_beliefs_grow_slowly_up_to_a_little_more_than_what_arrives_and_fall_to_it() -> None:
    delivered = FINE.delivered_kbit
    felt = Capacity(kbit=delivered, felt=True)
    assert felt.after(1, FINE, Strain.NONE).kbit == pytest.approx(GROWTH_PER_S * delivered)
    assert felt.after(100, FINE, Strain.NONE).kbit == pytest.approx(BEYOND_DELIVERED * delivered)
    assert Capacity(kbit=delivered).after(0.1, FINE, Strain.NONE).kbit > felt.after(0.1, FINE, Strain.NONE).kbit
    assert Capacity(kbit=1).after(0.1, FINE, Strain.NONE).kbit == pytest.approx(delivered)
    assert Capacity(kbit=9e9).after(1, FINE, Strain.NONE).kbit == 9e9  # sending less is no reason to believe less
    assert felt.after(1, A_LITTLE, Strain.SOME) == felt
    queued = Capacity(kbit=9e9).after(1, QUEUED, Strain.QUEUE)
    assert queued == Capacity(kbit=BACK_TO * QUEUED.delivered_kbit, felt=True)
    assert felt.after(1, LOSSY, Strain.LOSS).kbit == pytest.approx(delivered * (1 - LOSSY.loss / 2))
    assert felt.after(1, FINE, Strain.SILENT).kbit == pytest.approx(delivered / 4)
    assert felt.after(1000, FINE, Strain.SILENT).kbit > 0


def test_weights_follow_what_links_carry_and_leave_those_that_lose_or_are_late() -> None:
    same = {"a": Capacity(kbit=1000), "b": Capacity(kbit=1000)}
    fine = {"a": FINE, "b": FINE}
    assert weights_of(same, fine, budget_s=1) == {"a": 0.5, "b": 0.5}
    unequal = weights_of({**same, "a": Capacity(kbit=3000)}, fine, budget_s=1)
    assert unequal == {"a": 0.75, "b": 0.25}
    lossy = weights_of(same, {"a": FINE, "b": LOSSY}, budget_s=1)
    assert lossy["b"] / lossy["a"] == pytest.approx(1 - LOSSY.loss)
    late = weights_of(same, {"a": FINE, "b": heard([0.4] * 9)}, budget_s=0.1)
    assert late["b"] / late["a"] == pytest.approx(1 / 4, rel=1e-4)


# --------------------------------------------------------------------------------- the bitrate


def after(
    bitrate: Bitrate, *, now: float, strained: float, delivered_kbit: float = 1000, passed_s: float = 1
) -> Bitrate:
    return bitrate.after(passed_s, now=now, strained=strained, delivered_kbit=delivered_kbit, rtt_s=0.1)


def test_the_bitrate_goes_down_at_once_then_waits_and_goes_up_slowly() -> None:
    begun = Bitrate(kbit=1000, least_kbit=100, most_kbit=2000)
    down = after(begun, now=10, strained=0.6)
    assert down.kbit == pytest.approx(DOWN_TO * 1000)
    assert after(down, now=10 + PAUSE_S, strained=1) == down
    assert after(down, now=12, strained=0.3) == down
    assert after(down, now=12, strained=0).kbit == pytest.approx(UP_PER_S * down.kbit)
    assert after(begun, now=12, strained=0).kbit > UP_PER_S * begun.kbit


def test_the_bitrate_falls_to_what_arrives_and_stays_within_its_bounds() -> None:
    begun = Bitrate(kbit=1000, least_kbit=100, most_kbit=1200)
    assert after(begun, now=0, strained=1, delivered_kbit=400).kbit == pytest.approx(DOWN_TO * 400)
    assert after(begun, now=0, strained=1, delivered_kbit=0).kbit == 100
    assert after(begun, now=0, strained=0, passed_s=100).kbit == 1200
    # Nothing of it is sent: no reason to ask for more.
    assert after(begun, now=0, strained=0, delivered_kbit=0).kbit == 1000
    with pytest.raises(ValueError, match=r"kbit must be between 100 and 1200: 1500"):
        attrs.evolve(begun, kbit=1500)


# ----------------------------------------------------------- all of it, over links of arithmetic


@attrs.define
class Fluid:
    """A link as a fluid: a delay, and a queue of 100 ms behind a rate."""

    rate_kbit: float
    delay_s: float
    loss: float = 0.0
    queued_kbit: float = 0.0
    highest: float = 0.0
    received: float = 0.0

    def pass_on(self, kbit: float, seconds: float) -> None:
        per_datagram = FRAME_BYTES * 8 / 1000
        self.highest += kbit * seconds / per_datagram
        offered = self.queued_kbit + kbit * seconds * (1 - self.loss)
        passed = min(offered, self.rate_kbit * seconds)
        self.queued_kbit = min(offered - passed, self.rate_kbit * 0.1)
        self.received += passed / per_datagram

    def report(self, now: float) -> Report:
        rtt_s = 2 * self.delay_s + self.queued_kbit / self.rate_kbit
        received = round(self.received)
        return Report(
            highest=round(self.highest - self.queued_kbit / FRAME_BYTES / 8 * 1000),
            received=received,
            received_bytes=received * FRAME_BYTES,
            echo_us=round((now - rtt_s) * 1e6),
        )


class Simulation:
    """The balance over fluid links; reports every 100 ms, decisions every 250."""

    def __init__(self, links: dict[str, Fluid], bitrate: Bitrate) -> None:
        self.links, self.now = links, 100.0
        self.balance = Balance.begin(links, bitrate, budget_s=0.5, now=self.now)
        self.history: list[Balance] = []

    def run(self, seconds: float) -> list[Balance]:
        """The balances of that time."""
        began = len(self.history)
        for tick in range(1, round(seconds * 20) + 1):
            self.now += 0.05
            for name, link in self.links.items():
                link.pass_on(self.balance.bitrate.kbit * self.balance.weights[name], 0.05)
                if tick % 2 == 0:
                    self.balance = self.balance.hear(name, link.report(self.now), self.now)
            if tick % 5 == 0:
                self.balance = self.balance.after(0.25, self.now)
                self.history.append(self.balance)
        return self.history[began:]


def test_the_split_comes_near_the_ratio_of_the_rates_and_stays_there() -> None:
    links = {"a": Fluid(1000, 0.02), "b": Fluid(700, 0.03), "c": Fluid(350, 0.045), "d": Fluid(150, 0.06)}
    simulation = Simulation(links, Bitrate(kbit=500, least_kbit=100, most_kbit=9000))
    simulation.run(20)
    settled = simulation.run(40)
    # Beliefs lie between BACK_TO and BEYOND_DELIVERED times what a link carries.
    apart = BEYOND_DELIVERED / BACK_TO
    for name, link in links.items():
        share = link.rate_kbit / 2200
        weights = [balance.weights[name] for balance in settled]
        assert share / apart < statistics.mean(weights) < share * apart
        assert statistics.pstdev(weights) < share * (apart - 1 / apart) / 2
    rates = [balance.bitrate.kbit for balance in settled]
    assert min(rates) > 0.6 * 2200
    assert statistics.mean(rates) < 1.1 * 2200


def two_links() -> Simulation:
    simulation = Simulation(
        {"a": Fluid(1000, 0.02), "b": Fluid(1000, 0.02)}, Bitrate(kbit=900, least_kbit=100, most_kbit=900)
    )
    simulation.run(5)
    assert simulation.balance.weights == pytest.approx({"a": 0.5, "b": 0.5}, abs=0.05)
    assert simulation.balance.bitrate.kbit == 900
    return simulation


@pytest.mark.parametrize("change", [{"loss": 0.3}, {"delay_s": 0.12}, {"loss": 1.0}])
def test_weights_leave_a_link_that_gets_worse(change: dict[str, float]) -> None:
    simulation = two_links()
    for name, value in change.items():
        setattr(simulation.links["b"], name, value)
    simulation.run(6)
    assert simulation.balance.weights["b"] < 0.25


@pytest.mark.parametrize("change", [{"loss": 0.2}, {"delay_s": 0.12}])
def test_the_bitrate_steps_down_where_all_links_get_worse_and_recovers(change: dict[str, float]) -> None:
    simulation = two_links()
    before = {name: {key: getattr(link, key) for key in change} for name, link in simulation.links.items()}
    for link in simulation.links.values():
        for key, value in change.items():
            setattr(link, key, value)
    low = simulation.run(5)[-1].bitrate.kbit
    assert low < 0.8 * 900
    for name, link in simulation.links.items():
        for key, value in before[name].items():
            setattr(link, key, value)
    simulation.run(12)
    assert simulation.balance.bitrate.kbit > 1.3 * low


def test_a_balance_needs_a_link() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Balance.begin([], Bitrate(kbit=900, least_kbit=100, most_kbit=900), budget_s=1, now=0)
