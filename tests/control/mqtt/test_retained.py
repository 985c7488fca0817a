from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from linkem_py.control.mqtt.retained import Retained


def test_the_latest_wins_and_is_encoded_once() -> None:
    encoded: list[int] = []

    def value(number: int) -> bytes:
        encoded.append(number)
        return str(number).encode()

    retained = Retained()
    for number in range(1000):
        retained.put("x", lambda number=number: value(number))  # type: ignore[misc]
    assert retained.dirty == 1
    assert retained.take(10) == [("x", b"999")]
    assert encoded == [999]
    assert retained.take(10) == []


def test_what_was_removed_is_cleared() -> None:
    retained = Retained()
    retained.put("x", lambda: b"1")
    retained.put("y", lambda: b"2")
    retained.take(10)
    retained.keep_only({"y"})
    assert retained.take(10) == [("x", b"")]
    retained.remove_all()
    assert retained.take(10) == [("y", b"")]
    assert len(retained) == 0


def test_everything_is_told_again_after_a_loss() -> None:
    retained = Retained()
    retained.put("x", lambda: b"1")
    retained.put("y", lambda: b"2")
    retained.take(10)
    retained.restore()
    assert retained.take(10) == [("x", b"1"), ("y", b"2")]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 5), st.integers(0, 99)),
            st.tuples(st.just("remove"), st.integers(0, 5), st.just(0)),
            st.tuples(st.just("take"), st.integers(1, 3), st.booleans()),
            st.tuples(st.just("restore"), st.just(0), st.just(0)),
        )
    )
)
def test_a_broker_that_takes_what_is_told_ends_up_with_what_is_held(steps: list[tuple[str, int, int]]) -> None:
    retained = Retained()
    held: dict[str, bytes] = {}
    broker: dict[str, bytes] = {}
    for what, number, value in [*steps, ("take", 100, True)]:
        topic = f"t{number}"
        if what == "put":
            held[topic] = str(value).encode()
            retained.put(topic, lambda payload=held[topic]: payload)  # type: ignore[misc]
        elif what == "remove":
            held.pop(topic, None)
            retained.remove(topic)
        elif what == "restore":
            retained.restore()
        else:
            told = retained.take(number)
            if value:
                broker.update(told)
            else:
                retained.put_back([topic for topic, _ in told])
    assert {topic: payload for topic, payload in broker.items() if payload} == held
