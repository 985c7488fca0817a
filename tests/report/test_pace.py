import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py import GilbertElliott, Impairment
from linkem_py.report import pace
from linkem_py.report.pace import PROCESSOR_SHARE, RATE_SHARE

impairments = st.builds(
    Impairment,
    loss_pct=st.sampled_from([0.0, 0.01, 0.1, 1.0, 100.0]),
    rate_kbit=st.sampled_from([None, 10.0, 150.0, 2000.0, 1e6]),
    corrupt_pct=st.sampled_from([0.0, 2.0]),
)
networks = st.lists(impairments, min_size=1, max_size=40).map(
    lambda found: {("a", str(number), "lan"): one for number, one in enumerate(found)}
)


@given(networks, st.floats(1, 60), st.floats(1, 300), st.floats(0.5, 50))
def test_probes_stay_within_the_links_rates_and_the_processors_share(
    links: dict[tuple[str, str, str], Impairment], seconds: float, call_us: float, packet_us: float
) -> None:
    plans = pace.allot(links, seconds=seconds, call_us=call_us, packet_us=packet_us)
    assert plans.keys() == links.keys()
    for key, plan in plans.items():
        rate = links[key].rate_kbit
        assert plan.trains >= 1
        assert 1 <= plan.train <= pace.MOST_TRAIN
        if rate is not None and plan.trains > 1:
            # Half a train more by rounding.
            allowed = rate * 125 * RATE_SHARE * seconds + plan.train * plan.frame
            assert plan.packets * plan.frame <= allowed
    work = sum(
        pace.cost_s(plan.packets, plan.train, call_us=call_us, packet_us=packet_us)
        for plan in plans.values()
        if plan.trains > 1
    )
    most_train = pace.cost_s(pace.MOST_TRAIN, pace.MOST_TRAIN, call_us=call_us, packet_us=packet_us)
    assert work <= 1.02 * PROCESSOR_SHARE * seconds + len(plans) * most_train


def test_a_rarer_loss_gets_more_probes() -> None:
    assert pace.wanted(Impairment(loss_pct=0.1)) == pace.EVENTS * 1000
    assert pace.wanted(Impairment(loss_pct=5)) == pace.NOTHING_ASKED
    assert pace.wanted(Impairment(loss_pct=0.0001)) == pace.MOST_PACKETS
    alone, bursts = Impairment(loss_pct=0.5), Impairment(loss=GilbertElliott(0.1, 20))
    assert pace.wanted(bursts) > 4 * pace.wanted(alone)


def test_links_that_want_little_get_it_when_time_is_short() -> None:
    links = {
        ("a", "b", "lan"): Impairment(loss_pct=50),
        ("a", "c", "lan"): Impairment(loss_pct=0.05),
        ("a", "d", "lan"): Impairment(loss_pct=0.05),
    }
    plans = pace.allot(links, seconds=1, call_us=100, packet_us=10)
    little, *much = plans.values()
    assert little.packets == pytest.approx(pace.NOTHING_ASKED, rel=0.01)
    assert all(little.packets < plan.packets < pace.EVENTS * 2000 for plan in much)


def test_slow_links_get_their_probes_one_by_one() -> None:
    plans = pace.allot({("a", "b", "lan"): Impairment(rate_kbit=1000)}, seconds=10, call_us=1, packet_us=1)
    assert plans["a", "b", "lan"].train == 1


def test_a_longer_time_brings_more_probes() -> None:
    links = {("a", "b", "lan"): Impairment(loss_pct=0.01)}
    short, long = (pace.allot(links, seconds=s, call_us=200, packet_us=20)["a", "b", "lan"].packets for s in (1, 4))
    assert long == pytest.approx(4 * short, rel=0.02)
