from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from linkem_py.control.mqtt.outbox import Outbox, Outgoing


def message(number: int, size: int = 1, *, mark: bool = False) -> Outgoing:
    return Outgoing(topic=str(number), payload=bytes(size), mark=mark)


def send(outbox: Outbox, window: int, numbers: list[int]) -> list[str]:
    """Send what may go; its numbers are topics, so that each can be acknowledged by its own."""
    topics = []
    for taken in outbox.take(window):
        outbox.sent(taken, int(taken.topic))
        topics.append(taken.topic)
        numbers.append(int(taken.topic))
    return topics


def test_goes_out_in_order_within_the_window() -> None:
    outbox = Outbox()
    for number in range(5):
        outbox.put(message(number))
    assert send(outbox, 3, []) == ["0", "1", "2"]
    assert send(outbox, 3, []) == []
    outbox.acknowledged(1)
    assert send(outbox, 3, []) == ["3"]
    assert len(outbox) == 4


def test_what_was_not_acknowledged_goes_out_again_first_and_in_order() -> None:
    outbox = Outbox()
    for number in range(5):
        outbox.put(message(number))
    send(outbox, 3, [])
    outbox.acknowledged(1)
    outbox.disconnected()
    assert send(outbox, 10, []) == ["0", "2", "3", "4"]


def test_marks_do_not_outlive_a_connection() -> None:
    outbox = Outbox()
    outbox.put(message(0, mark=True))
    outbox.put(message(1))
    outbox.put(message(2, mark=True))
    send(outbox, 1, [])
    outbox.disconnected()
    assert send(outbox, 10, []) == ["1"]


def test_the_oldest_makes_room() -> None:
    outbox = Outbox(most_messages=3)
    for number in range(5):
        outbox.put(message(number))
    assert send(outbox, 10, []) == ["2", "3", "4"]
    assert outbox.take_dropped() == 2
    assert outbox.take_dropped() == 0


def test_an_unknown_acknowledgement_is_none() -> None:
    assert Outbox().acknowledged(7) is None


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 60)),
            st.tuples(st.just("send"), st.integers(1, 5)),
            st.tuples(st.just("acknowledge"), st.integers(0, 40)),
            st.tuples(st.just("cut"), st.just(0)),
        ),
        max_size=120,
    )
)
def test_bounds_hold_and_every_message_goes_once_or_was_dropped(steps: list[tuple[str, int]]) -> None:
    outbox = Outbox(most_messages=10, most_bytes=200)
    put = 0
    on_way: list[int] = []
    done: set[int] = set()
    for what, number in steps:
        if what == "put":
            outbox.put(message(put, number))
            put += 1
        elif what == "send":
            send(outbox, number, on_way)
        elif what == "acknowledge" and on_way:
            acknowledged = on_way[number % len(on_way)]
            if outbox.acknowledged(acknowledged) is not None:
                assert acknowledged not in done
                done.add(acknowledged)
            on_way.remove(acknowledged)
        elif what == "cut":
            outbox.disconnected()
            on_way.clear()
        assert outbox.in_flight <= 5
        # What is in flight cannot be dropped any more: it counts, but makes no room.
        assert len(outbox) <= 10 + 5
        assert outbox.bytes <= 200 + 5 * 60
    outbox.disconnected()
    left = {int(topic) for topic in send(outbox, 1000, [])}
    assert not left & done
    assert len(left) + len(done) + outbox.dropped == put
