from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from linkem_py.control.listeners import Listener, Listeners
from linkem_py.control.wire.events import Changed, Event, Missed, Notice
from linkem_py.control.wire.states import LinkState
from linkem_py.model import Impairment
from tests.control.stations import lan

STATE = LinkState(link=lan("p0", "p1"), impairment=Impairment(), revision=1, applied_at=0.0)


def notice(number: int) -> Notice:
    return Notice(at=0.0, message=str(number))


async def rest(listener: Listener) -> list[Event]:
    listener.close()
    return [event async for event in listener]


async def test_events_come_in_order_and_the_iterator_ends_when_closed() -> None:
    listener = Listener()
    for number in range(3):
        listener.put(notice(number))
    assert await rest(listener) == [notice(0), notice(1), notice(2)]


async def test_a_reader_who_waits_gets_an_event_as_it_comes() -> None:
    listener = Listener()
    waiting = asyncio.ensure_future(anext(listener))
    await asyncio.sleep(0)
    listener.put(notice(1))
    assert await waiting == notice(1)


async def test_what_a_slow_reader_has_no_room_for_is_counted_in_its_place() -> None:
    listener = Listener(most_events=4)
    for number in range(10):
        listener.put(notice(number))
    assert [await anext(listener) for _ in range(4)] == [notice(n) for n in range(4)]
    listener.put(notice(10))
    missed, last = await rest(listener)
    assert isinstance(missed, Missed)
    assert missed.count == 6
    assert last == notice(10)


async def test_a_change_of_many_links_counts_by_its_links() -> None:
    listener = Listener(most_links=10)
    large = Changed(revision=1, at=0.0, what="update", links=(STATE,) * 6)
    listener.put(large)
    listener.put(large)
    first, missed = await rest(listener)
    assert first == large
    assert isinstance(missed, Missed)


async def test_a_change_larger_than_the_bound_comes_if_nothing_waits() -> None:
    listener = Listener(most_links=10)
    large = Changed(revision=1, at=0.0, what="update", links=(STATE,) * 60)
    listener.put(large)
    assert await rest(listener) == [large]


@given(st.lists(st.integers(0, 8), max_size=60), st.integers(1, 6))
def test_every_event_is_read_or_counted_and_the_queue_is_bounded(reads: list[int], most: int) -> None:
    async def run() -> None:
        listener = Listener(most_events=most)
        seen: list[Event] = []
        sent = 0
        for count in reads:
            for _ in range(count):
                listener.put(notice(sent))
                sent += 1
            assert len(listener._events) <= most + 1
            if listener._events and count % 2:
                seen.append(await anext(listener))
        seen += await rest(listener)
        place = 0
        for event in seen:
            if isinstance(event, Missed):
                place += event.count
            else:
                assert event == notice(place)
                place += 1
        assert place == sent

    asyncio.run(run())


async def test_listeners_all_hear_the_same_and_one_who_has_left_hears_nothing() -> None:
    listeners = Listeners()
    async with listeners.listening() as one:
        async with listeners.listening() as other:
            listeners.put(notice(1))
            assert await anext(one) == await anext(other) == notice(1)
        assert len(listeners) == 1
    assert not listeners
    listeners.put(notice(2))


async def test_who_listens_after_the_end_hears_the_end() -> None:
    listeners = Listeners()
    listeners.close()
    async with listeners.listening() as events:
        assert [event async for event in events] == []
