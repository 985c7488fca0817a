import pytest

from linkem_py import RequestError
from linkem_py.report.verify import TOLERANCES, parse


def test_a_tolerance_is_a_share_or_an_amount_whichever_is_more() -> None:
    loss = TOLERANCES["loss"]
    assert (loss.of(2.0), loss.of(0.1), loss.of(0.0)) == pytest.approx((0.2, 0.05, 0.05))


def test_what_is_given_replaces_both_forms_but_not_what_holds_where_nothing_is_asked() -> None:
    assert parse(["loss=10%"])["loss"].of(0.1) == pytest.approx(0.01)
    assert parse(["loss=10%"])["loss"].of(0) == pytest.approx(0.05)
    assert parse(["loss=0.2 pp"])["loss"].of(2) == pytest.approx(0.2)
    assert parse(["delay=2ms", "jitter=20%"])["delay"].of(100) == 2
    assert parse(["distribution=3%"])["distribution"].of(0) == 3
    assert parse(["schedule=8%"])["schedule"].of(0) == 8


def test_a_factor_stretches_what_is_not_given() -> None:
    found = parse(["loss=10%"], factor=2)
    assert found["loss"].of(2) == pytest.approx(0.2)
    assert found["bursts"].of(1) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("los=10%", "must be one of delay, .*: 'los'"),
        ("loss", "must be a share above 0"),
        ("loss=0%", "must be a share above 0"),
        ("loss=10", "must be a share above 0 such as 10%, or an amount such as 0.5pp"),
        ("loss=1ms", "an amount such as 0.5pp"),
        ("goodput=1ms", "such as 10%: 'goodput=1ms'"),
    ],
)
def test_what_is_no_tolerance_is_refused(word: str, says: str) -> None:
    with pytest.raises(RequestError, match=says):
        parse([word])
