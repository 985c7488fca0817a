"""All or nothing in the real kernel: whatever fails, nothing of the change stays; and big networks."""

from __future__ import annotations

import contextlib
import errno
import itertools
import random
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from linkem_py import Impairment, Network, Topology
from linkem_py.errors import OperationError, TopologyError
from linkem_py.kernel.codec.link import ifb_message, link_delete_message, up_message
from linkem_py.kernel.codec.tc import class_message, filter_message, qdisc_message
from linkem_py.kernel.driver import KernelDriver
from linkem_py.kernel.namespaces import Namespace, NamespaceThread
from linkem_py.kernel.netlink import NetlinkSocket
from linkem_py.model import Capabilities, FourState, GilbertElliott
from linkem_py.plan import Operation, addressing, desired, handles, operations
from linkem_py.plan import objects as o
from linkem_py.plan.requirements import PARTITION_NEEDS
from tests.runtime.check import assert_kernel_matches, present

pytestmark = pytest.mark.kernel("prio", "ipv6", "ifb", "mirred", *PARTITION_NEEDS)


def topology(*names: str, **settings: Any) -> Topology:
    """These peers (by default three), the first two linked."""
    made = Topology("test", **settings)
    for name in names or ("a", "b", "c"):
        made.add_peer(name)
    first, second, *_ = made.peers
    made.connect(first, second, Impairment(delay_ms=1, rate_kbit=10_000))
    return made


def send(net: Network, namespace: str, *messages: bytes) -> None:
    """Do something behind the network's back."""
    acks = net.kernel.namespaces[namespace].netlink.transact(messages)
    assert not any(ack.errno for ack in acks), acks


def planned(net: Network, namespace: str, kind: type = object) -> list[Any]:
    """Objects of the plan in a namespace."""
    objects = desired(net.topology, net.capabilities, seed=net.seed, groups=net.groups).values()
    return [made for made in objects if isinstance(made, kind) and getattr(made, "ns", "") == namespace]


When = Callable[[int, Operation], bool]


class Sabotage:
    """Replaces operations by one that the kernel refuses: of a device that does not exist.

    `when` is asked for every operation that is sent, with its number; what undoes them passes.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.when: When = lambda _number, _operation: False
        self.numbers: dict[Operation, int] = {}
        self.hit: list[Operation] = []
        self._active = True
        encode, execute = KernelDriver._encode, KernelDriver._execute
        sabotage = self

        def spoiled(driver: KernelDriver, operation: Operation, messages: list[bytes]) -> None:
            number = sabotage.numbers.setdefault(operation, len(sabotage.numbers))  # sent again: the same fate
            if not sabotage._active or not sabotage.when(number, operation):
                encode(driver, operation, messages)
                return
            encode(driver, operation, [])
            sabotage.hit.append(operation)
            messages.append(up_message(9999))

        def once(driver: KernelDriver, steps: list[Operation]) -> Any:
            try:
                return execute(driver, steps)
            finally:
                sabotage._active = not sabotage.hit

        monkeypatch.setattr(KernelDriver, "_encode", spoiled)
        monkeypatch.setattr(KernelDriver, "_execute", once)

    def of(self, when: When) -> None:
        """From the next batch on."""
        self.when, self.numbers, self.hit, self._active = when, {}, [], True


def everything(net: Network) -> tuple[object, ...]:
    """What the kernel has, and what the network says."""
    return present(net), dict(net.topology.peers), dict(net.topology.links), net.groups, list(net.journal), net.names


async def outcome(change: Awaitable[object]) -> OperationError | TopologyError | None:
    """The error by which the kernel or the network refuses a change; None if it is made."""
    try:
        await change
    except (OperationError, TopologyError) as error:
        return error
    return None


# --------------------------------------------------------------------- a failure in each place


CHANGES: dict[str, Callable[[Network], Awaitable[object]]] = {
    "update": lambda net: net.update("a", "b", delay_ms=7, rate_kbit=5000),
    "update of two": lambda net: net.update_links({("a", "b"): {"delay_ms": 9}, ("b", "a"): {"loss_pct": 9}}),
    "duplicate": lambda net: net.update("a", "b", duplicate_pct=5),
    "add_peer": lambda net: net.add_peer("d"),
    "connect": lambda net: net.connect(
        "a", "c", Impairment(delay_ms=5, rate_kbit=100), back=Impairment(duplicate_pct=2)
    ),
    "disconnect": lambda net: net.disconnect("a", "b"),
    "remove_peer": lambda net: net.remove_peer("b"),
    "partition": lambda net: net.partition({"a"}, {"b"}),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_wherever_a_change_fails_nothing_of_it_stays(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    async with Network(topology(duplicates="isolate")) as net:
        sabotage = Sabotage(monkeypatch)
        for number in itertools.count():
            sabotage.of(lambda place, _, number=number: place == number)  # type: ignore[misc]
            before = everything(net)
            error = await outcome(CHANGES[change](net))
            if error is None:
                break
            assert isinstance(error, OperationError)
            (failed,) = sabotage.hit
            assert (error.errno, error.rolled_back) == (errno.ENODEV, True)
            assert error.namespace == failed.object.ns  # type: ignore[union-attr]
            assert everything(net) == before
            assert_kernel_matches(net)
        assert number > 0
        assert len(net.journal) == 1
        assert_kernel_matches(net)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
async def test_wherever_a_start_fails_nothing_stays(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    made = topology()
    count = sum(not isinstance(made.object, o.Namespace) for made in operations({}, desired(made, Capabilities())))
    sabotage = Sabotage(monkeypatch)
    sabotage.of(lambda number, _: number == int(count * share))
    net = Network(made)
    with pytest.raises(OperationError) as caught:
        await net.start()
    assert caught.value.rolled_back
    assert sabotage.hit
    assert "closed" in repr(net)


async def test_what_many_operations_do_not_survive_is_undone_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Network(topology()) as net:
        sabotage = Sabotage(monkeypatch)
        for divisor in (2, 3):
            sabotage.of(lambda number, _, divisor=divisor: number % divisor == 1)  # type: ignore[misc]
            before = everything(net)
            with pytest.raises(OperationError):
                await net.connect("a", "c", Impairment(delay_ms=5))
            assert len(sabotage.hit) > 1
            assert everything(net) == before
            assert_kernel_matches(net)


# --------------------------------------------------------------------------- true conflicts


async def test_the_error_names_the_link_and_quotes_the_kernel() -> None:
    async with Network(topology()) as net:
        index = net.kernel.index("a", "eth0")
        own = planned(net, "a", o.Class)[-1]
        foreign = own._replace(classid=own.parent | 4)  # where the class of a->c is going to be
        send(net, "a", class_message("create", foreign, index))
        before = everything(net)
        with pytest.raises(OperationError) as caught:
            await net.connect("a", "c", Impairment(delay_ms=5))
        error = caught.value
        assert error.link == ("a", "c", "lan")
        assert (error.namespace, error.errno, error.rolled_back) == ("a", errno.EEXIST, True)
        assert str(error).startswith("link a->c: create class ")
        assert str(error).endswith(f": {': '.join(filter(None, ('File exists', error.message)))}")
        assert everything(net) == before
        send(net, "a", class_message("delete", foreign, index))
        await net.connect("a", "c", Impairment(delay_ms=5))
        assert_kernel_matches(net)


async def test_a_qdisc_with_the_same_handle_is_a_conflict() -> None:
    async with Network(topology()) as net:
        index = net.kernel.index("a", "eth0")
        own = planned(net, "a", o.Class)[-1]
        netem = next(made for made in planned(net, "a", o.Qdisc) if made.kind == "netem")
        spare = own._replace(classid=own.parent | 9)
        foreign = netem._replace(handle=netem.handle + (1 << 16), parent=spare.classid)
        send(net, "a", class_message("create", spare, index), qdisc_message("create", foreign, index))
        before = everything(net)
        with pytest.raises(OperationError) as caught:
            await net.connect("a", "c", Impairment(delay_ms=5))
        assert caught.value.link == ("a", "c", "lan")
        assert caught.value.errno
        assert caught.value.message
        assert everything(net) == before


async def test_a_filter_with_the_same_handle_is_a_conflict() -> None:
    async with Network(topology()) as net:
        index = net.kernel.index("a", "eth0")
        own = planned(net, "a", o.Filter)[-1]
        foreign = own._replace(handle=handles.member_entry(3))
        send(net, "a", filter_message("create", foreign, index))
        before = everything(net)
        with pytest.raises(OperationError) as caught:
            await net.connect("a", "c")
        assert (caught.value.errno, caught.value.link) == (errno.EEXIST, ("a", "c", "lan"))
        assert everything(net) == before


async def test_what_somebody_has_taken_away_cannot_be_changed() -> None:
    async with Network(topology()) as net:
        index = net.kernel.index("a", "eth0")
        entry = planned(net, "a", o.Filter)[-1]
        send(
            net,
            "a",
            filter_message("delete", entry, index),
            class_message("delete", planned(net, "a", o.Class)[-1], index),
        )
        before = everything(net)
        with pytest.raises(OperationError) as caught:
            await net.update("a", "b", delay_ms=9)
        assert caught.value.link == ("a", "b", "lan")
        assert caught.value.errno in (errno.ENOENT, errno.EINVAL)
        assert everything(net) == before
        await net.update("b", "a", delay_ms=9)


async def test_a_class_that_something_else_uses_stays() -> None:
    # The kernel refuses to delete it (EBUSY); what stands below it was never touched.
    made = topology()
    made.connect("a", "c")
    async with Network(made) as net:
        index = net.kernel.index("a", "eth0")
        entry = next(made for made in planned(net, "a", o.Filter) if made.handle == handles.member_entry(2))
        foreign = entry._replace(handle=entry.handle + 1)
        send(net, "a", filter_message("create", foreign, index))
        before = everything(net)
        with pytest.raises(OperationError) as caught:
            await net.disconnect("a", "b")
        error = caught.value
        assert (error.errno, error.link, error.rolled_back) == (errno.EBUSY, ("a", "b", "lan"), True)
        assert everything(net) == before
        send(net, "a", filter_message("delete", foreign, index))
        assert_kernel_matches(net)
        await net.disconnect("a", "b")
        assert_kernel_matches(net)


async def test_a_peer_whose_port_somebody_has_deleted_cannot_be_removed_but_the_network_closed() -> None:
    async with Network(topology()) as net:
        send(net, o.HUB, link_delete_message(net.kernel.index(o.HUB, "lan.2")))
        before = everything(net)
        with pytest.raises(OperationError) as caught:
            await net.remove_peer("b")
        assert (caught.value.errno, caught.value.namespace) == (errno.ENODEV, o.HUB)
        assert everything(net) == before
        await net.update("a", "b", delay_ms=9)


async def test_a_peer_that_could_not_be_removed_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    made = topology(duplicates="isolate")
    made.set_impairment("b", "a", Impairment(duplicate_pct=5))
    async with Network(made) as net:
        process = await net.peer("b").spawn(["sleep", "1000"])
        sabotage = Sabotage(monkeypatch)
        sabotage.of(lambda _, operation: isinstance(operation.object, o.Veth))
        before = everything(net)
        with pytest.raises(OperationError):
            await net.remove_peer("b")
        assert everything(net) == before
        assert process.returncode is None
        await net.update("b", "a", duplicate_pct=7, delay_ms=3)
        assert_kernel_matches(net)
        assert (await net.peer("b").run(["ping", "-c", "1", "-W", "10", "a"])).returncode == 0
        await net.remove_peer("b")
        assert_kernel_matches(net)


async def test_a_device_in_the_way_of_a_new_peer() -> None:
    async with Network(topology()) as net:
        send(net, o.HUB, ifb_message(o.Ifb(o.HUB, "lan.4"), index=900))
        for _ in range(2):
            before = everything(net)
            with pytest.raises(OperationError) as caught:
                await net.add_peer("d")
            assert (caught.value.errno, caught.value.namespace) == (errno.EEXIST, o.HUB)
            assert caught.value.rolled_back
            assert everything(net) == before
        send(net, o.HUB, link_delete_message(900))
        await net.add_peer("d")
        assert_kernel_matches(net)


async def test_a_start_into_a_namespace_that_is_not_as_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    create = NamespaceThread.create

    def with_device(thread: NamespaceThread, name: str, sysctls: Any) -> Namespace:
        namespace = create(thread, name, sysctls)
        if name == "b":
            namespace.netlink.transact([ifb_message(o.Ifb("b", "eth0"), index=900)])
        return namespace

    monkeypatch.setattr(NamespaceThread, "create", with_device)
    net = Network(topology())
    with pytest.raises(OperationError) as caught:
        await net.start()
    assert (caught.value.errno, caught.value.namespace) == (errno.EEXIST, o.HUB)
    assert "create veth lan.2 " in str(caught.value)
    assert caught.value.rolled_back


async def test_a_namespace_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Network(topology()) as net:

        def fail(*_: object) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        with monkeypatch.context() as patched:
            patched.setattr(NamespaceThread, "create", fail)
            before = everything(net)
            with pytest.raises(OperationError, match=r"Too many open files$") as caught:
                await net.add_peer("d")
            assert (caught.value.errno, caught.value.namespace) == (errno.EMFILE, "d")
            assert everything(net) == before
        await net.add_peer("d")
        assert_kernel_matches(net)


# -------------------------------------------------------------------------- answers get lost


def mesh(count: int) -> Topology:
    made = Topology("mesh")
    for number in range(count):
        made.add_peer(f"p{number}")
    for number in range(1, count):
        made.add_link("p0", f"p{number}", Impairment(delay_ms=1))
    return made


def full_buffer(net: Network) -> None:
    """No more room than for an answer or two."""
    for namespace in net.kernel.namespaces.values():
        namespace.netlink._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)


@pytest.mark.parametrize("divisor", [1, 2, 7])
async def test_errors_that_do_not_fit_the_buffer_are_found_by_looking(
    monkeypatch: pytest.MonkeyPatch, divisor: int
) -> None:
    async with Network(mesh(40)) as net:
        full_buffer(net)
        after = net.topology.copy()
        for number in range(1, 40):
            after.set_impairment("p0", f"p{number}", Impairment(delay_ms=9, rate_kbit=100))
        for number in range(2, 40):
            after.add_link("p1", f"p{number}", Impairment(delay_ms=2))
        current = desired(net.topology, net.capabilities, seed=net.seed)
        steps = operations(current, desired(after, net.capabilities, seed=net.seed))
        before = everything(net)
        sabotage = Sabotage(monkeypatch)
        lost: list[int] = []
        compare = KernelDriver._compare

        def counting(driver: KernelDriver, *arguments: Any) -> None:
            lost.append(len(arguments[2]))
            compare(driver, *arguments)

        monkeypatch.setattr(KernelDriver, "_compare", counting)
        sabotage.of(lambda number, _: number % divisor == 0)
        with pytest.raises(OperationError) as caught:
            net.kernel.apply(steps)
        assert caught.value.errno == errno.ENODEV
        assert caught.value.rolled_back, caught.value.__notes__
        assert lost, "the buffer was not small enough"
        assert everything(net) == before
        assert_kernel_matches(net)
        net.kernel.apply(steps)
        net.topology = after
        assert_kernel_matches(net)


async def test_a_batch_whose_answers_were_all_lost_has_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = NetlinkSocket._receive_answers
    lost = 0

    def deaf(netlink: NetlinkSocket, first: int, count: int) -> Any:
        nonlocal lost
        answer = receive(netlink, first, count)
        if count < 3:
            return answer
        lost += 1
        return {}, False

    async with Network(topology()) as net:
        monkeypatch.setattr(NetlinkSocket, "_receive_answers", deaf)
        await net.connect("a", "c", Impairment(delay_ms=5, rate_kbit=1000))
        await net.update_links(
            {("a", "b"): {"delay_ms": 7, "rate_kbit": 99}, ("a", "c"): {"delay_ms": 8, "rate_kbit": 98}}
        )
        await net.disconnect("a", "b")
        await net.add_peer("d")
        assert lost >= 4
        assert_kernel_matches(net)


# ------------------------------------------------------------------------------- random walks


def some_impairment(rng: random.Random) -> Impairment:
    while True:
        fields: dict[str, Any] = {}
        if rng.random() < 0.7:
            fields["delay_ms"] = rng.choice([0.000001, 0.5, 20, 100.25, 5000])
        if rng.random() < 0.4:
            fields["jitter_ms"] = rng.choice([0.1, 5, 50])
            fields["distribution"] = rng.choice(["uniform", "normal", "pareto", "paretonormal"])
            fields["keep_order"] = rng.random() < 0.5
        if rng.random() < 0.5:
            fields["loss_pct"] = rng.choice([0.1, 5, 100])
            fields["loss_correlation_pct"] = rng.choice([0, 25])
        elif rng.random() < 0.5:
            fields["loss"] = rng.choice(
                [GilbertElliott(p_pct=1, r_pct=10), FourState(p13_pct=1, p31_pct=20, p32_pct=5, p23_pct=10, p14_pct=1)]
            )
        if rng.random() < 0.3:
            fields["duplicate_pct"] = rng.choice([1, 50])
            fields["duplicate_correlation_pct"] = rng.choice([0, 10])
        if rng.random() < 0.3:
            fields["corrupt_pct"] = 2
        if rng.random() < 0.2:
            fields["reorder_pct"] = 25
            fields["reorder_gap"] = rng.choice([None, 5])
        if rng.random() < 0.5:
            fields["rate_kbit"] = rng.choice([1, 512, 1e6, 5e9])
            fields[rng.choice(["queue_ms", "queue_packets"])] = rng.choice([1, 50, 1000])
        with contextlib.suppress(TopologyError):
            return Impairment(**fields)


def some_change(rng: random.Random, net: Network) -> Awaitable[object]:
    """A change that may be made, or one that is refused."""
    peers, links = list(net.topology.peers), list(net.topology.links)
    kind = rng.choice(
        ["add_peer", "remove_peer", "connect", "add_link", "disconnect", *["update"] * 4, "partition", "heal"]
    )
    if kind == "add_peer" and len(peers) < 8:
        return net.add_peer(f"n{rng.randrange(100)}")
    if kind == "remove_peer" and len(peers) > 2:
        return net.remove_peer(rng.choice(peers))
    if kind in ("connect", "add_link"):
        first, second = rng.sample(peers, 2)
        if kind == "add_link":
            return net.add_link(first, second, some_impairment(rng))
        return net.connect(first, second, some_impairment(rng), back=rng.choice([None, some_impairment(rng)]))
    if kind == "disconnect" and links:
        return net.disconnect(*rng.choice(links)[:2])
    if kind == "partition":
        named = rng.sample(peers, rng.randint(2, len(peers)))
        cut = rng.randint(1, len(named) - 1)
        return net.partition(named[:cut], named[cut:])
    if kind == "heal":
        return net.heal()
    if not links:
        return net.heal()
    changed = rng.sample(links, min(len(links), rng.choice([1, 1, 3])))
    return net.update_links({key: some_impairment(rng) for key in changed})


WALKS = [
    {},
    {"classifier": "prio"},
    {"duplicates": "isolate"},
    {"unlinked": "blocked"},
    {"classifier": "prio", "duplicates": "isolate", "unlinked": "blocked", "ipv6": None},
]


@pytest.mark.parametrize("settings", WALKS, ids=lambda settings: "-".join(map(str, settings.values())) or "default")
@pytest.mark.parametrize("seed", range(2))
async def test_after_any_changes_the_kernel_is_as_planned(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], seed: int
) -> None:
    rng = random.Random(f"{seed} {settings}")
    sabotage = Sabotage(monkeypatch)
    done = 0
    async with Network(topology("a", "b", "c", "d", **settings), seed=seed) as net:
        for _ in range(30):
            number = rng.randrange(30) if rng.random() < 0.2 else -1
            sabotage.of(lambda place, _, number=number: place == number)  # type: ignore[misc]
            before = everything(net)
            error = await outcome(some_change(rng, net))
            if isinstance(error, OperationError):
                assert sabotage.hit, error
                assert error.rolled_back, error.__notes__
            if error is None:
                done += 1
            else:
                assert everything(net) == before
            assert_kernel_matches(net)
    assert done
    assert len(net.journal) == done


# --------------------------------------------------------------------------------- many peers


@pytest.mark.timeout(300)
async def test_a_network_of_more_peers_than_a_bridge_has_ports() -> None:
    count = 1_100
    made = Topology("many")
    for number in range(1, count + 1):
        made.add_peer(f"p{number}")
    for number in range(2, count + 1, 11):
        made.add_link("p1", f"p{number}", Impairment(delay_ms=1))
    made.connect("p1", f"p{count}", Impairment(delay_ms=1))
    async with Network(made) as net:
        assert_kernel_matches(net)
        pairs = [("p1", f"p{count}"), (f"p{count}", "p1"), ("p998", "p1002")]
        silent = [net.peer("p500"), net.peer("p1050")]
        with contextlib.ExitStack() as sockets:
            taps = [sockets.enter_context(peer.socket(socket.AF_PACKET, socket.SOCK_RAW, ETH_P_ALL)) for peer in silent]
            for source, destination in pairs:
                for address in net.peer(destination).addresses["lan"]:
                    result = await net.peer(source).run(["ping", "-c", "3", "-i", "0.01", "-W", "10", address])
                    assert result.returncode == 0, result.stdout + result.stderr
            heard = [frame for tap in taps for frame in drain(tap)]
        # Broadcasts, such as ARP between those without a link, are for everybody; nothing else is.
        assert heard
        assert [frame for frame in heard if not frame[0] & 1] == []
        await net.remove_peer("p1050")
        late = await net.add_peer("late")
        assert late.address == str(addressing.ipv4(net.topology.segments["lan"], made.peers["p1050"]))
        result = await late.run(["ping", "-c", "1", "-W", "10", "p1"])
        assert result.returncode == 0, result.stdout + result.stderr


ETH_P_ALL = socket.htons(3)


def drain(tap: socket.socket) -> list[bytes]:
    """Frames that have come in."""
    tap.setblocking(False)
    frames = []
    with contextlib.suppress(BlockingIOError):
        while True:
            frames.append(tap.recv(2048))
    return frames
