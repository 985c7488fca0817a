from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkem_py import Topology
from linkem_py.control import dispatcher as module
from linkem_py.control.dispatcher import Dispatcher
from linkem_py.control.wire.commands import Command, Heal, LinkUpdate, Partition, Update
from linkem_py.control.wire.replies import Reply
from linkem_py.model import DelayTable
from tests.control.stations import PATIENCE_S, delay, lan, mesh, until
from tests.dry import DryNetwork

HALVES = (frozenset({"p0", "p1"}), frozenset({"p2", "p3"}))


@contextlib.asynccontextmanager
async def dispatching(net: DryNetwork, **options: Any) -> AsyncIterator[Dispatcher]:
    dispatcher = Dispatcher(net, **options)
    async with asyncio.TaskGroup() as group:
        group.create_task(dispatcher.run())
        try:
            yield dispatcher
        finally:
            net.dry.gate.set()
            dispatcher.close()


@contextlib.asynccontextmanager
async def running(topology: Topology | None = None, **options: Any) -> AsyncIterator[tuple[DryNetwork, Dispatcher]]:
    async with DryNetwork(topology or mesh()) as net, dispatching(net, **options) as dispatcher:
        net.dry.batches.clear()
        yield net, dispatcher


async def stopped(net: DryNetwork, dispatcher: Dispatcher) -> asyncio.Future[Reply]:
    """Have the kernel stand still over a first command."""
    net.dry.gate.clear()
    first = dispatcher.submit(delay(1))
    await asyncio.sleep(0)
    await until(lambda: dispatcher._commands and not dispatcher._waiting)
    return first


async def test_a_command_is_applied_and_answered_with_its_revision() -> None:
    async with running() as (net, dispatcher):
        reply = await dispatcher.submit(delay(25, id="first"))
        assert reply == Reply(ok=True, id="first", revision=1, applied_at=net.journal[-1].at)
        assert net.impairment("p0", "p1").delay_ms == 25


async def test_a_backlog_goes_into_one_batch_and_every_command_is_answered() -> None:
    async with running() as (net, dispatcher):
        first = await stopped(net, dispatcher)
        futures = [dispatcher.submit(delay(n, id=str(n))) for n in range(2, 500)]
        net.dry.gate.set()
        replies = await asyncio.gather(first, *futures)
        assert len(net.dry.batches) == 2
        assert all(reply.ok for reply in replies)
        assert [reply.id for reply in replies[1:]] == [str(n) for n in range(2, 500)]
        assert net.impairment("p0", "p1").delay_ms == 499


async def test_a_long_backlog_goes_into_batches_of_a_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_CHANGES", 10)
    async with running() as (net, dispatcher):
        first = await stopped(net, dispatcher)
        futures = [dispatcher.submit(delay(n)) for n in range(25)]
        net.dry.gate.set()
        await asyncio.gather(first, *futures)
        assert len(net.dry.batches) == 1 + 3


async def test_a_command_larger_than_a_batch_is_one_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_CHANGES", 2)
    async with running() as (net, dispatcher):
        keys = [lan("p0", f"p{n}") for n in (1, 2, 3)]
        reply = await dispatcher.submit(Update(changes=tuple(LinkUpdate(key, {"delay_ms": 4}) for key in keys)))
        assert reply.ok
        assert len(net.dry.batches) == 1


async def test_partitions_and_heals_keep_their_place_among_updates() -> None:
    async with running() as (net, dispatcher):
        first = await stopped(net, dispatcher)
        commands: list[Command] = [delay(2), delay(3), Partition(groups=HALVES), delay(4), Heal(), delay(5)]
        futures = [dispatcher.submit(command) for command in commands]
        net.dry.gate.set()
        replies = await asyncio.gather(first, *futures)
        assert [reply.revision for reply in replies] == [1, 2, 2, 3, 4, 5, 6]
        assert [entry.what for entry in net.journal][1:] == ["update", "partition", "update", "heal", "update"]


async def test_a_clearing_takes_everything_away_before_it_sets() -> None:
    async with running() as (net, dispatcher):
        await dispatcher.submit(Update(changes=(LinkUpdate(lan("p0", "p1"), {"delay_ms": 9, "loss_pct": 1}),)))
        await dispatcher.submit(Update(changes=(LinkUpdate(lan("p0", "p1"), {"delay_ms": 3}, clear=True),)))
        assert net.impairment("p0", "p1").set_fields() == {"delay_ms": 3}


@pytest.mark.parametrize(
    ("broken", "field", "value"),
    [
        (delay(-1), "delay_ms", -1),
        (delay(5, "p0", "nobody"), "peer", "nobody"),
        (Update(changes=(LinkUpdate(lan("p0", "p1"), {"speed": 5}),)), "speed", 5),
        (Update(changes=()), "links", "{}"),
        (Update(changes=(*delay(1).changes, *delay(2).changes)), "changes", 2),
        (Partition(groups=(frozenset({"p0"}), frozenset({"nobody"}))), "peer", "nobody"),
        (Partition(groups=(frozenset({"p0"}),)), "partition", 1),
    ],
)
async def test_what_is_wrong_with_a_command_is_in_its_reply_and_harms_no_other(
    broken: Command, field: str, value: object
) -> None:
    refused = []
    async with running(refused=lambda command, reply: refused.append((command, reply))) as (net, dispatcher):
        first = await stopped(net, dispatcher)
        futures = [dispatcher.submit(command) for command in [delay(2), broken, delay(3, "p1", "p0")]]
        net.dry.gate.set()
        before, reply, after = await asyncio.gather(*futures)
        assert (await first).ok
        assert before.ok
        assert after.ok
        assert not reply.ok
        assert reply.error is not None
        assert (reply.error.field, reply.error.value) == (field, value)
        assert refused == [(broken, reply)]
        assert net.impairment("p0", "p1").delay_ms == 2
        assert net.impairment("p1", "p0").delay_ms == 3


async def test_what_the_kernel_refuses_is_answered_so_and_harms_no_other() -> None:
    async with running() as (net, dispatcher):
        net.dry.refused = {lan("p0", "p2")}
        first = await stopped(net, dispatcher)
        futures = [dispatcher.submit(command) for command in (delay(2), delay(3, "p0", "p2"), delay(4, "p0", "p3"))]
        net.dry.gate.set()
        replies = await asyncio.gather(first, *futures)
        assert [reply.ok for reply in replies] == [True, True, False, True]
        assert replies[2].error is not None
        assert replies[2].error.kind == "OperationError"
        assert [net.impairment("p0", name).delay_ms for name in ("p1", "p2", "p3")] == [2, 0, 4]


async def test_an_error_that_nobody_foresaw_is_its_own_commands(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with running() as (net, dispatcher):
        real = net.update_batches

        async def update_batches(batches: Sequence[Mapping[Any, Any]]) -> Any:
            if any(fields.get("delay_ms") == 13 for batch in batches for fields in batch.values()):
                raise ZeroDivisionError("not foreseen")
            return await real(batches)

        monkeypatch.setattr(net, "update_batches", update_batches)
        replies = await asyncio.gather(*(dispatcher.submit(delay(n)) for n in (12, 13, 14)))
        assert [reply.ok for reply in replies] == [True, False, True]
        assert replies[1].error is not None
        assert replies[1].error.kind == "InternalError"
        assert net.impairment("p0", "p1").delay_ms == 14
        assert "not foreseen" in caplog.text


# --- redeliveries -------------------------------------------------------------------------------


async def test_a_redelivery_is_answered_as_before_and_not_applied_again() -> None:
    async with running() as (net, dispatcher):
        reply = await dispatcher.submit(delay(10, id="x"))
        await dispatcher.submit(delay(20, id="y"))
        assert await dispatcher.submit(delay(10, id="x")) == reply
        assert net.revision == 2
        assert net.impairment("p0", "p1").delay_ms == 20


async def test_a_redelivery_of_what_still_waits_gets_the_same_reply() -> None:
    async with running() as (net, dispatcher):
        first = await stopped(net, dispatcher)
        futures = [dispatcher.submit(delay(10, id="x")) for _ in range(3)]
        futures[0].cancel()  # whoever asked first has gone: the others get their reply
        net.dry.gate.set()
        await first
        assert await futures[1] == await futures[2]
        assert (await futures[1]).ok
        assert net.revision == 2


async def test_an_error_is_redelivered_too() -> None:
    async with running() as (_, dispatcher):
        replies = [await dispatcher.submit(delay(-1, id="x")) for _ in range(2)]
        assert replies[0] == replies[1]
        assert not replies[0].ok


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (delay(10, id="x"), delay(11, id="x")),
        (delay(10, id="x"), delay(10, "p0", "p2", id="x")),
        (Partition(groups=HALVES, id="x"), Partition(groups=HALVES[::-1], id="x")),
        (Partition(groups=HALVES, id="x"), Heal(id="x")),
    ],
)
async def test_the_same_id_with_another_content_is_a_new_command(one: Command, other: Command) -> None:
    async with running() as (net, dispatcher):
        for command in (one, other, one):
            await dispatcher.submit(command)
        assert net.revision == 3
        await dispatcher.submit(one)
        assert net.revision == 3


async def test_tables_that_differ_in_an_entry_are_another_content() -> None:
    async with running() as (net, dispatcher):
        for last in (8000, 8001):
            table = DelayTable((-8000, 0, last), "table")
            fields = {"delay_ms": 10, "jitter_ms": 1, "distribution": table}
            await dispatcher.submit(Update(changes=(LinkUpdate(lan("p0", "p1"), fields),), id="x"))
        assert net.impairment("p0", "p1").distribution == table


async def test_commands_without_an_id_are_never_redeliveries() -> None:
    async with running() as (net, dispatcher):
        await dispatcher.submit(delay(10))
        await dispatcher.submit(delay(10))
        assert net.revision == 2


# --- how much may wait --------------------------------------------------------------------------


async def test_what_is_too_much_to_wait_is_refused_at_once_and_may_come_again() -> None:
    async with running(most_commands=3) as (net, dispatcher):
        first = await stopped(net, dispatcher)
        futures = [dispatcher.submit(delay(n, id=str(n))) for n in (2, 3, 4)]
        assert futures[2].done()
        error = futures[2].result().error
        assert error is not None
        assert (error.field, error.value) == ("backlog", 3)
        assert not futures[1].done()
        net.dry.gate.set()
        assert all(reply.ok for reply in await asyncio.gather(first, *futures[:2]))
        assert (await dispatcher.submit(delay(4, id="4"))).ok


async def test_redeliveries_of_what_waits_count_too() -> None:
    async with running(most_commands=3) as (net, dispatcher):
        await stopped(net, dispatcher)
        futures = [dispatcher.submit(delay(2, id="x")) for _ in range(3)]
        assert [future.done() for future in futures] == [False, False, True]
        assert not futures[2].result().ok


async def test_large_commands_count_by_what_they_hold() -> None:
    async with running(most_changes=5) as (net, dispatcher):
        await stopped(net, dispatcher)
        changes = tuple(LinkUpdate(lan("p0", f"p{n}"), {"delay_ms": 1}) for n in (1, 2, 3))
        long = Update(changes=(LinkUpdate(lan("p0", "p1"), {"delay_ms": "x" * 1000}),))
        futures = [dispatcher.submit(command) for command in (Update(changes=changes), long, delay(2), delay(3))]
        assert [future.done() for future in futures] == [False, True, False, True]
        error = futures[1].result().error
        assert error is not None
        assert error.rule.startswith("must be at most 5 link changes")
        assert error.value > 5


async def test_nothing_is_left_counted_when_everything_is_answered() -> None:
    async with running() as (_, dispatcher):
        commands: list[Command] = [delay(1, id="a"), delay(1, id="a"), delay(-1), Partition(groups=HALVES), Heal()]
        await asyncio.gather(*map(dispatcher.submit, commands))
        assert (dispatcher._commands, dispatcher._changes) == (0, 0)


# --- the end ------------------------------------------------------------------------------------


async def test_a_command_that_nobody_waits_for_is_carried_out() -> None:
    async with running() as (net, dispatcher):
        first = await stopped(net, dispatcher)
        first.cancel()
        dispatcher.submit(delay(7)).cancel()
        net.dry.gate.set()
        await dispatcher.submit(Heal())
        assert net.impairment("p0", "p1").delay_ms == 7


async def test_at_the_end_what_is_under_way_is_answered_and_what_waits_fails() -> None:
    async with running() as (net, dispatcher):
        first = await stopped(net, dispatcher)
        waiting = dispatcher.submit(delay(2))
        dispatcher.close()
        with pytest.raises(ConnectionError, match="ended"):
            await waiting
        with pytest.raises(ConnectionError, match="ended"):
            await dispatcher.submit(delay(3))
        net.dry.gate.set()
        assert (await first).ok


async def test_when_the_worker_fails_nobody_waits_for_ever() -> None:
    def broken(_command: Command, _reply: Reply) -> None:
        raise ZeroDivisionError

    async with DryNetwork(mesh()) as net:
        dispatcher = Dispatcher(net, refused=broken)
        futures = [dispatcher.submit(command) for command in (delay(-1), Heal())]
        with pytest.raises(ZeroDivisionError):
            await dispatcher.run()
        for future in (*futures, dispatcher.submit(delay(1))):
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(future, PATIENCE_S)


# --- any commands -------------------------------------------------------------------------------

PEERS = [f"p{n}" for n in range(4)]


@st.composite
def commands(draw: st.DrawFn) -> Command:
    which = draw(st.sampled_from(["update"] * 6 + ["partition", "heal"]))
    if which == "heal":
        return Heal()
    if which == "partition":
        return Partition(groups=tuple(frozenset(draw(st.sets(st.sampled_from(PEERS)))) for _ in range(2)))
    keys = draw(st.lists(st.tuples(st.sampled_from(PEERS), st.sampled_from(PEERS)), max_size=3))
    fields = st.fixed_dictionaries(
        {}, optional={"delay_ms": st.sampled_from([None, -1, 0, 5, 80]), "loss_pct": st.sampled_from([None, 0, 3, 101])}
    )
    return Update(changes=tuple(LinkUpdate(lan(*key), draw(fields), draw(st.booleans())) for key in keys))


@settings(max_examples=60)
@given(st.lists(commands(), max_size=20))
def test_a_backlog_has_the_same_outcome_as_the_same_commands_one_by_one(given_commands: list[Command]) -> None:
    async def outcome(*, at_once: bool) -> Any:
        async with running() as (net, dispatcher):
            if at_once:
                replies = await asyncio.gather(*map(dispatcher.submit, given_commands))
            else:
                replies = [await dispatcher.submit(command) for command in given_commands]
            links = {key: link.impairment for key, link in net.topology.links.items()}
            return [(reply.ok, reply.error) for reply in replies], links, net.groups

    assert asyncio.run(outcome(at_once=True)) == asyncio.run(outcome(at_once=False))
