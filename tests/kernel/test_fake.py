from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any

import pytest

from linkem_py.errors import OperationError
from linkem_py.kernel.fake import FakeDriver
from linkem_py.kernel.rollback import NOT_TRIED
from linkem_py.model import Capabilities, Impairment, Topology
from linkem_py.plan import EMPTY, Operation, State, desired, operations
from linkem_py.plan.desired import state
from linkem_py.plan.objects import (
    HUB,
    TC_H_CLSACT,
    TC_H_EGRESS_FILTERS,
    TC_H_ROOT,
    U32,
    Address,
    Bridge,
    Class,
    Clsact,
    Drop,
    Fifo,
    Filter,
    Forwarding,
    Htb,
    HtbClass,
    Ifb,
    Namespace,
    Neighbour,
    Netem,
    Object,
    Prio,
    Qdisc,
    Redirect,
    Route,
    U32Table,
    Up,
    Veth,
)

RULE = Capabilities(mixed_duplicate=False)
RATE = HtbClass(1, 1, 1514, 1514, 1514)
TABLE = 3 << 20

PAIR = Veth(HUB, "lan.1", "", "a", "eth0", "", "br-lan")
ROOT = Qdisc("a", "eth0", 0x10000, TC_H_ROOT, "htb", Htb())
CLASS = Class("a", "eth0", 0x10001, 0x10000, "htb", RATE)
INNER = Class("a", "eth0", 0x10002, 0x10001, "htb", RATE)
NETEM = Qdisc("a", "eth0", 0x20000, 0x10001, "netem", Netem(1))
QUEUE = Qdisc("a", "eth0", 0x30000, 0x20001, "bfifo", Fifo(1))
HASH = Filter("a", "eth0", 0x10000, 3, 3, TABLE, U32Table(4))
LEADS = Filter("a", "eth0", 0x10000, 3, 3, 1, U32(link=TABLE))
ENTRY = Filter("a", "eth0", 0x10000, 3, 3, TABLE | 1, U32(classid=0x10001))
HOOK = Qdisc("a", "eth0", 0xFFFF0000, TC_H_CLSACT, "clsact", Clsact())
UP = Up("a", "eth0")
FORWARDING = Forwarding(HUB, "lan.1", bytes(6))
BASE: tuple[Object, ...] = (Namespace(HUB), Namespace("a"), Bridge(HUB, "br-lan"), PAIR)
ALL: tuple[Object, ...] = (*BASE, FORWARDING, ROOT, CLASS, NETEM, QUEUE, HASH, LEADS, ENTRY, HOOK, UP)


def with_(*made: Object, kernel: Capabilities | None = None) -> FakeDriver:
    return FakeDriver(kernel or Capabilities(), state=state(made))


def one(driver: FakeDriver, verb: Any, made: Object) -> int:
    """Error number of one operation, 0 for success."""
    failure = driver.execute([Operation(verb, made)])[0]
    return failure.errno if failure is not None else 0


def keys(driver: FakeDriver) -> set[Any]:
    return set(driver.state)


def of(*made: Object) -> set[Any]:
    return {each.key for each in made}


# --- creating -----------------------------------------------------------------------------------


@pytest.mark.parametrize("made", ALL, ids=lambda made: type(made).__name__)
def test_nothing_can_be_made_twice(made: Object) -> None:
    assert one(with_(*ALL), "create", made) == errno.EEXIST


@pytest.mark.parametrize(
    ("there", "made", "number"),
    [
        ((), Bridge(HUB, "br-lan"), errno.EINVAL),
        ((Namespace(HUB), Bridge(HUB, "br-lan")), PAIR, errno.EINVAL),
        ((Namespace(HUB), Namespace("a")), PAIR, errno.ENODEV),
        (BASE[:2], UP, errno.ENODEV),
        (BASE[:2], Address("a", "eth0", "10.0.0.1", 16), errno.ENODEV),
        (BASE[:2], Neighbour("a", "eth0", bytes(4), bytes(6)), errno.ENODEV),
        (BASE[:2], ROOT, errno.ENODEV),
        (BASE, CLASS, errno.ENOENT),
        (BASE, NETEM, errno.ENOENT),
        (BASE, HASH, errno.ENOENT),
        (BASE, Filter("a", "eth0", TC_H_EGRESS_FILTERS, 3, 3, TABLE, U32Table(4)), errno.ENOENT),
        ((*BASE, ROOT), INNER, errno.ENOENT),
        ((*BASE, ROOT, CLASS), INNER, 0),
        ((*BASE, ROOT), NETEM, errno.ENOENT),
        ((*BASE, ROOT), LEADS, errno.EINVAL),
        ((*BASE, ROOT, HASH), ENTRY, errno.EINVAL),
        ((*BASE, ROOT, CLASS), ENTRY, errno.EINVAL),
        ((*BASE, ROOT, CLASS, HASH), ENTRY._replace(handle=TABLE | 4 << 12 | 1), errno.EINVAL),
        ((*BASE, ROOT, CLASS, HASH), ENTRY._replace(handle=TABLE | 3 << 12 | 1), 0),
        ((*BASE, ROOT), ENTRY._replace(handle=1, options=U32(action=Redirect("dup"))), errno.ENODEV),
        ((*BASE, ROOT, Ifb("a", "dup")), ENTRY._replace(handle=1, options=U32(action=Redirect("dup"))), 0),
        ((*BASE, ROOT), ENTRY._replace(handle=1, options=U32(classid=0x10000)), 0),
        ((*BASE, HOOK), ENTRY._replace(parent=TC_H_EGRESS_FILTERS, handle=1, options=U32(classid=0x10001)), 0),
        ((*BASE, ROOT, CLASS), Qdisc("a", "eth0", 0x40000, TC_H_ROOT, "prio", Prio()), errno.EEXIST),
        ((*BASE, ROOT, CLASS, NETEM), NETEM._replace(handle=0x40000), errno.EEXIST),
        ((*BASE, ROOT, CLASS, NETEM), QUEUE._replace(parent=0x20002), errno.ENOENT),
        ((*BASE, ROOT._replace(kind="prio", options=Prio(2))), NETEM._replace(parent=0x10002), 0),
        ((*BASE, ROOT._replace(kind="prio", options=Prio(2))), NETEM._replace(parent=0x10003), errno.ENOENT),
        ((*BASE, ROOT._replace(kind="prio", options=Prio(2))), CLASS, errno.ENOENT),
        ((*BASE, Namespace("b")), Veth(HUB, "lan.2", "", "a", "eth0", "", ""), errno.EEXIST),
        (BASE, Veth("a", "x", "", "a", "x", "", ""), errno.EEXIST),
        (BASE, Forwarding("a", "eth0", bytes(6)), errno.EOPNOTSUPP),
        (BASE, Forwarding(HUB, "br-lan", bytes(6)), errno.EOPNOTSUPP),
    ],
    ids=str,
)
def test_what_is_made_needs_what_it_hangs_on(there: Sequence[Object], made: Object, number: int) -> None:
    driver = with_(*there)
    assert one(driver, "create", made) == number
    assert (made.key in driver.state) == (number == 0)


# --- deleting -----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["change", "delete"])
@pytest.mark.parametrize("made", [PAIR, ROOT, CLASS, ENTRY, UP, Namespace("a")], ids=lambda made: type(made).__name__)
def test_what_is_not_there_cannot_be_changed_or_deleted(verb: str, made: Object) -> None:
    assert one(with_(Namespace(HUB)), verb, made) == errno.ENOENT


@pytest.mark.parametrize(
    ("made", "left"),
    [
        (Namespace(HUB), of(Namespace("a"))),
        (Namespace("a"), of(*BASE[:1], *BASE[2:3])),
        (PAIR, of(*BASE[:3])),
        (ROOT, of(*BASE, FORWARDING, HOOK, UP)),
        (NETEM, of(*ALL) - of(NETEM, QUEUE)),
        (HOOK, of(*ALL) - of(HOOK)),
        (UP, of(*ALL) - of(UP)),
        (ENTRY, of(*ALL) - of(ENTRY)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_goes_takes_along_what_hangs_on_it(made: Object, left: set[Any]) -> None:
    driver = with_(*ALL)
    assert one(driver, "delete", made) == 0
    assert keys(driver) == left


def test_what_went_with_another_can_be_made_again() -> None:
    driver = with_(*ALL)
    driver.apply([Operation("delete", PAIR)])
    driver.apply([Operation("create", made) for made in ALL[3:]])
    assert driver.state == state(ALL)


def test_a_class_that_a_filter_leads_to_is_busy() -> None:
    driver = with_(*ALL)
    assert one(driver, "delete", CLASS) == errno.EBUSY
    assert one(driver, "delete", ENTRY) == 0
    assert one(driver, "delete", CLASS) == 0
    assert not of(CLASS, NETEM, QUEUE) & keys(driver)


def test_a_class_that_has_classes_is_busy() -> None:
    driver = with_(*BASE, ROOT, CLASS, INNER)
    assert one(driver, "delete", CLASS) == errno.EBUSY
    assert one(driver, "delete", INNER) == 0
    assert one(driver, "delete", CLASS) == 0


def test_a_table_that_a_filter_leads_to_is_busy_and_takes_its_entries_along() -> None:
    driver = with_(*ALL)
    assert one(driver, "delete", HASH) == errno.EBUSY
    assert one(driver, "delete", LEADS) == 0
    assert one(driver, "delete", HASH) == 0
    assert not of(HASH, ENTRY) & keys(driver)


def test_ports_outlive_their_bridge_but_their_forwarding_entries_do_not() -> None:
    trunk = Veth(HUB, "t1", "", HUB, "u1", "", "br-lan", peer_master="br1")
    driver = with_(*BASE, FORWARDING, Bridge(HUB, "br1"), trunk)
    assert one(driver, "delete", Bridge(HUB, "br-lan")) == 0
    assert FORWARDING.key not in driver.state
    assert driver.state[PAIR.key] == PAIR._replace(master="")
    assert driver.state[trunk.key] == trunk._replace(master="")
    assert one(driver, "create", Forwarding(HUB, "u1", bytes(6))) == 0
    assert one(driver, "delete", Bridge(HUB, "br1")) == 0
    assert driver.state[trunk.key] == trunk._replace(master="", peer_master="")


# --- changing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "number"),
    [
        (NETEM._replace(options=Netem(7)), 0),
        (NETEM._replace(kind="bfifo", options=Fifo(7)), errno.EINVAL),
        (NETEM._replace(parent=0x10002), errno.EINVAL),
        (QUEUE._replace(options=Fifo(7)), 0),
        (ROOT._replace(options=Htb(default=5)), errno.EOPNOTSUPP),
        (HOOK, errno.EOPNOTSUPP),
        (CLASS._replace(options=RATE._replace(rate=9)), 0),
        (CLASS._replace(parent=0x10002), errno.EINVAL),
        (ENTRY._replace(options=U32(classid=0x10001, action=Drop())), 0),
        (ENTRY._replace(options=U32(classid=0x10002)), errno.EOPNOTSUPP),
        (ENTRY._replace(options=U32Table(4)), errno.EOPNOTSUPP),
        (UP, 0),
        (PAIR, errno.EOPNOTSUPP),
    ],
    ids=str,
)
def test_only_parameters_can_be_changed_in_place(made: Object, number: int) -> None:
    driver = with_(*ALL)
    assert one(driver, "change", made) == number
    assert (driver.state[made.key] == made) == (number == 0 or made in ALL)


# --- the duplicate rule -------------------------------------------------------------------------

QUIET = Netem(1)
LOUD = Netem(1, duplicate=5)
SECOND_CLASS = CLASS._replace(classid=0x10002)
SECOND = NETEM._replace(handle=0x40000, parent=0x10002)


@pytest.mark.parametrize(
    ("verb", "first", "second", "refused"),
    [
        ("create", QUIET, QUIET, False),
        ("create", QUIET, LOUD, True),
        ("create", LOUD, QUIET, True),
        ("create", LOUD, LOUD, True),
        ("change", QUIET, LOUD, True),
        ("change", QUIET, QUIET, False),
    ],
)
@pytest.mark.parametrize("kernel", [RULE, Capabilities()], ids=["rule", "no rule"])
def test_a_duplicating_netem_does_not_stand_beside_another_where_the_kernel_has_the_rule(
    verb: str, first: Netem, second: Netem, refused: bool, kernel: Capabilities
) -> None:
    driver = with_(*BASE, ROOT, CLASS, SECOND_CLASS, NETEM._replace(options=first), kernel=kernel)
    if verb == "change":
        assert one(driver, "create", SECOND) == 0
    failure = driver.execute([Operation(verb, SECOND._replace(options=second))])[0]  # type: ignore[arg-type]
    if refused and kernel is RULE:
        assert failure == (errno.EINVAL, "netem: cannot mix duplicating netems with other netems in tree")
    else:
        assert failure is None


def test_a_netem_alone_on_its_device_may_duplicate_and_stop() -> None:
    driver = with_(*BASE, ROOT, CLASS, SECOND_CLASS, NETEM, Ifb("a", "dup"), kernel=RULE)
    on_its_own = Qdisc("a", "dup", 0x10000, TC_H_ROOT, "netem", LOUD)
    assert one(driver, "create", on_its_own) == 0
    assert one(driver, "change", NETEM._replace(options=LOUD)) == 0
    assert one(driver, "create", SECOND) == errno.EINVAL
    assert one(driver, "change", NETEM) == 0
    assert one(driver, "create", SECOND) == 0
    assert one(driver, "delete", NETEM) == 0
    assert one(driver, "change", SECOND._replace(options=LOUD)) == 0


# --- the whole ----------------------------------------------------------------------------------


@pytest.fixture
def planned() -> State:
    topology = Topology("t")
    topology.add_peer("a")
    topology.add_peer("b")
    topology.connect("a", "b", Impairment(delay_ms=5))
    return desired(topology, Capabilities())


def test_the_log_has_what_was_sent_and_not_what_the_kernel_does_by_itself(planned: State) -> None:
    driver = FakeDriver(state=planned)
    assert driver.log == []
    driver.apply(operations(planned, EMPTY))
    assert [step.object.key for step in driver.log] == [("namespace", name) for name in ("b", "a", HUB)]
    assert driver.state == {}


def test_an_operation_can_be_made_to_fail(planned: State) -> None:
    driver = FakeDriver(fail_at={3})
    with pytest.raises(OperationError, match="injected"):
        driver.apply(operations(EMPTY, planned))
    assert driver.state == {}
    driver.apply(operations(EMPTY, planned))
    assert driver.state == planned


def test_after_an_error_the_batch_of_that_namespace_goes_on_and_no_other_begins() -> None:
    driver = with_(*BASE)
    steps = [Operation("create", made) for made in (CLASS, ROOT, UP, FORWARDING, HOOK)]
    outcome = driver.execute(steps)
    assert [failure is None for failure in outcome] == [False, True, True, False, False]
    assert outcome[3] is outcome[4] is NOT_TRIED
    failing = [Operation("create", made) for made in (Namespace("a"), Namespace("b"))]
    assert driver.execute(failing)[1] is NOT_TRIED


def test_a_state_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(
        OperationError, match="create class 1:1 on eth0 in a: No such file or directory: Specified qdisc"
    ):
        with_(*BASE, CLASS)


def test_closing_leaves_nothing_and_twice_is_harmless(planned: State) -> None:
    driver = FakeDriver(state=planned)
    assert repr(driver) == f"<FakeDriver: {len(planned)} objects, 0 operations sent>"
    driver.close()
    driver.close()
    assert driver.state == {}


def test_a_state_handed_out_is_a_copy(planned: State) -> None:
    driver = FakeDriver(state=planned)
    driver.state.clear()
    assert driver.state == planned


def test_a_route_needs_an_interface_that_is_up_and_changes_in_place() -> None:
    route = Route("a", "eth0", 254, "10.0.0.2/32", "", 1300, 1460)
    driver = FakeDriver(state=state(BASE))
    with pytest.raises(OperationError) as caught:
        driver.apply([Operation("create", route)])
    assert caught.value.errno == errno.ENETDOWN
    driver.apply([Operation("create", UP), Operation("create", route)])
    driver.apply([Operation("change", route._replace(mtu=1400), route)])
    assert driver.state[route.key] == route._replace(mtu=1400)
