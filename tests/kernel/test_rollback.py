from __future__ import annotations

import errno
from collections.abc import Sequence

import pytest

from linkem_py.errors import OperationError
from linkem_py.kernel.fake import FakeDriver
from linkem_py.kernel.rollback import NOT_TRIED, Failure, apply_or_roll_back
from linkem_py.model import Capabilities, Impairment, Topology
from linkem_py.plan import EMPTY, Operation, State, desired, operations
from linkem_py.plan.locate import link_of
from linkem_py.plan.objects import HUB, Bridge, Ifb, Namespace, Qdisc, Up, Veth

WORDS = "netem: cannot mix duplicating netems with other netems in tree"
ONE, TWO, THREE, FOUR = (Operation("create", Ifb("a", name)) for name in ("x", "y", "z", "w"))


def undone(operation: Operation) -> Operation:
    return Operation("delete", operation.object)


class Recorder:
    """Answers each call with the next list of outcomes; the last ones succeed."""

    def __init__(self, *outcomes: list[Failure | None]) -> None:
        self.outcomes = list(outcomes)
        self.calls: list[list[Operation]] = []

    def __call__(self, operations: Sequence[Operation]) -> list[Failure | None]:
        self.calls.append(list(operations))
        return self.outcomes.pop(0) if self.outcomes else [None] * len(operations)


def failed(execute: Recorder, *steps: Operation) -> OperationError:
    with pytest.raises(OperationError) as caught:
        apply_or_roll_back(execute, steps)
    return caught.value


@pytest.fixture
def topology() -> Topology:
    made = Topology("t")
    for name in ("a", "b", "c"):
        made.add_peer(name)
    made.add_link("a", "b", Impairment(duplicate_pct=5))
    return made


def test_what_succeeds_is_left_alone() -> None:
    execute = Recorder()
    apply_or_roll_back(execute, [ONE, TWO])
    assert execute.calls == [[ONE, TWO]]


def test_nothing_to_do_is_no_error() -> None:
    apply_or_roll_back(Recorder(), [])


def test_exactly_what_succeeded_is_undone_last_one_first() -> None:
    execute = Recorder([None, Failure(errno.EINVAL), None, NOT_TRIED])
    error = failed(execute, ONE, TWO, THREE, FOUR)
    assert execute.calls[1:] == [[undone(THREE), undone(ONE)]]
    assert error.rolled_back
    assert not hasattr(error, "__notes__")


def test_the_first_that_failed_is_named() -> None:
    error = failed(Recorder([None, Failure(errno.EBUSY, "first"), Failure(errno.EINVAL, "second")]), ONE, TWO, THREE)
    assert str(error) == "create ifb y in a: Device or resource busy: first"
    assert (error.operation, error.namespace, error.errno) == ("create ifb y in a", "a", errno.EBUSY)
    assert (error.message, error.link) == ("first", None)


def test_an_operation_that_was_not_tried_is_named_only_if_no_other_failed() -> None:
    assert str(failed(Recorder([NOT_TRIED, Failure(0, "lost")]), ONE, TWO)) == "create ifb y in a: lost"
    assert str(failed(Recorder([None, NOT_TRIED]), ONE, TWO)) == "create ifb y in a: not tried"


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (Failure(errno.EINVAL), "Invalid argument"),
        (Failure(errno.EINVAL, "words"), "Invalid argument: words"),
        (Failure(0, "words"), "words"),
    ],
)
def test_a_failure_is_told_in_the_systems_words_and_the_kernels(failure: Failure, text: str) -> None:
    assert str(failure) == text


def test_the_link_is_named_with_the_kernels_own_words(topology: Topology) -> None:
    kernel = Capabilities(mixed_duplicate=False)
    topology.duplicates = "strict"
    before = desired(topology, kernel)
    topology.duplicates = "auto"
    topology.add_link("a", "c")
    # A plan for a kernel that does not have the rule.
    steps = operations(before, desired(topology, Capabilities()))
    driver = FakeDriver(kernel, state=before, locate=lambda operation: link_of(topology, operation.object))
    with pytest.raises(OperationError) as caught:
        driver.apply(steps)
    error = caught.value
    assert str(error) == f"link a->c: create qdisc netem 1003: on eth0 in a: Invalid argument: {WORDS}"
    assert (error.link, error.namespace, error.message) == (("a", "c", "lan"), "a", WORDS)
    assert driver.state == before


def test_a_namespace_is_named_by_itself() -> None:
    execute = Recorder([Failure(errno.EPERM)])
    error = failed(execute, Operation("create", Namespace("a")))
    assert str(error) == "create namespace of a: Operation not permitted"
    assert error.namespace == "a"


def test_what_could_not_be_undone_is_said_and_the_rest_is_undone_all_the_same() -> None:
    execute = Recorder(
        [None, None, None, Failure(errno.EINVAL)],
        [Failure(errno.EBUSY, "in use"), NOT_TRIED, NOT_TRIED],
        [None, Failure(errno.EIO)],
    )
    error = failed(execute, ONE, TWO, THREE, FOUR)
    assert execute.calls[1:] == [[undone(THREE), undone(TWO), undone(ONE)], [undone(TWO), undone(ONE)]]
    assert not error.rolled_back
    assert error.__notes__ == [
        "could not be undone: delete ifb z in a: Device or resource busy: in use",
        "could not be undone: delete ifb x in a: Input/output error",
    ]


def test_undoing_ends_when_nothing_is_tried_any_more() -> None:
    execute = Recorder([None, None, Failure(errno.EINVAL)], [NOT_TRIED, NOT_TRIED])
    error = failed(execute, ONE, TWO, THREE)
    assert len(execute.calls) == 2
    assert not error.rolled_back
    assert error.__notes__ == [f"could not be undone: delete ifb {name} in a: not tried" for name in "yx"]


# --- what the kernel does by itself -------------------------------------------------------------


@pytest.fixture
def whole(topology: Topology) -> State:
    return desired(topology, Capabilities())


def test_what_would_have_gone_with_something_that_stayed_is_not_made_again(whole: State) -> None:
    steps = operations(whole, EMPTY)
    outcome: list[Failure | None] = [None if step.implied else Failure(errno.EBUSY) for step in steps]
    execute = Recorder(outcome)
    failed(execute, *steps)
    assert [step for call in execute.calls[1:] for step in call] == []


def test_what_went_with_something_is_made_again_even_if_its_own_deletion_failed(topology: Topology) -> None:
    before = desired(topology, Capabilities())
    after = topology.copy()
    after.remove_peer("c")
    steps = operations(before, desired(after, Capabilities()))
    explicit = [step for step in steps if not step.implied]
    assert [type(step.object) for step in explicit] == [Veth, Namespace]
    execute = Recorder([Failure(errno.EIO) if step is explicit[0] else None for step in steps])
    failed(execute, *steps)
    again = [step.object for step in execute.calls[1]]
    assert [step.verb for step in execute.calls[1]] == ["create"] * len(steps)
    assert again == [step.object for step in reversed(steps)]
    assert any(isinstance(made, Qdisc) and made.ns == "c" for made in again)


def test_nothing_is_sent_to_undo_what_goes_with_its_holder() -> None:
    pair = Veth(HUB, "lan.1", "", "a", "eth0", "", "br-lan")
    made = [
        Operation("create", o) for o in (Namespace(HUB), Namespace("a"), Bridge(HUB, "br-lan"), pair, Up("a", "eth0"))
    ]
    execute = Recorder([None, None, None, None, None, Failure(errno.EINVAL)])
    failed(execute, *made, ONE)
    assert [(step.object, step.implied) for step in execute.calls[1]] == [
        (Up("a", "eth0"), True),
        (pair, True),
        (Bridge(HUB, "br-lan"), True),
        (Namespace("a"), False),
        (Namespace(HUB), False),
    ]


def test_a_failure_while_undoing_is_reported_by_the_fake_too(whole: State) -> None:
    steps = operations(EMPTY, whole)
    driver = FakeDriver(fail_at={len(steps) - 1, len(steps)})
    with pytest.raises(OperationError) as caught:
        driver.apply(steps)
    assert not caught.value.rolled_back
    assert caught.value.__notes__ == ["could not be undone: delete namespace of c: Invalid argument: injected"]
    assert set(driver.state) == {("namespace", "c")}
