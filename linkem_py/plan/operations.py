"""From one state to another: ordered operations, and how to undo them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from linkem_py.plan import handles
from linkem_py.plan.desired import State
from linkem_py.plan.objects import (
    TC_H_CLSACT,
    TC_H_EGRESS_FILTERS,
    TC_H_INGRESS_FILTERS,
    TC_H_ROOT,
    U32,
    Address,
    Bridge,
    Class,
    Filter,
    Ifb,
    Key,
    Namespace,
    Netem,
    Object,
    Qdisc,
    Route,
    Veth,
)

Verb = Literal["create", "change", "delete"]

_MAJOR = 0xFFFF0000


class Operation(NamedTuple):
    """One thing to do.

    `before` is what a change replaces. `implied`: the kernel does it by itself, because what holds
    the object goes; nothing is sent, but undoing must make it again.
    """

    verb: Verb
    object: Object
    before: Object | None = None
    implied: bool = False


def operations(current: State, desired: State) -> list[Operation]:
    """What leads from `current` to `desired`: deletions in reverse order, then creations and changes.

    Among the changes, netems that stop duplicating come first: a kernel with the duplicate rule
    checks after every step. An address goes after the one that takes its place has come: with its
    last address an interface loses its routes and neighbours.
    """
    if not current:
        return [Operation("create", made) for made in desired.values()]
    gone = _gone(current, desired)
    deletions = _deletions([made for key, made in current.items() if key in gone])
    steps: list[Operation] = []
    first: list[Operation] = []
    for key, after in desired.items():
        before = current.get(key)
        if before is None or key in gone:
            steps.append(Operation("create", after))
        elif before != after:
            change = Operation("change", after, before)
            (first if stops_duplicating(before, after) else steps).append(change)
    replaced = _replaced(deletions, steps)
    if replaced:
        deletions = [step for step in deletions if step not in replaced]
    return deletions + first + steps + replaced


def _replaced(deletions: Iterable[Operation], steps: Iterable[Operation]) -> list[Operation]:
    """The deletions of addresses from interfaces that stay, and that another address comes to."""
    gone = [step for step in deletions if isinstance(step.object, Address) and not step.implied]
    if not gone:
        return []
    fresh = {step.object.key[:3] for step in steps if isinstance(step.object, Address)}
    return [step for step in gone if step.object.key[:3] in fresh]


def inverse(done: Sequence[Operation]) -> list[Operation]:
    """What undoes these operations, last one first."""
    undo: list[Operation] = []
    made = {operation.object.key: operation.object for operation in done if operation.verb == "create"}
    held = _held(made)
    for operation in reversed(done):
        if operation.verb == "create":
            undo.append(Operation("delete", operation.object, implied=operation.object.key in held))
        elif operation.verb == "delete":
            undo.append(Operation("create", operation.object))
        else:
            assert operation.before is not None
            undo.append(Operation("change", operation.before, operation.object))
    return undo


def contained(state: State, roots: Iterable[Key]) -> set[Key]:
    """`roots`, and all that goes when they go."""
    gone = set(roots)
    devices = _devices(state)
    # States are in an order in which things can be made, so a holder comes before what it holds.
    for key, made in state.items():
        if key not in gone and (
            _holder(made, state, devices) in gone or (isinstance(made, Veth) and ("namespace", made.peer_ns) in gone)
        ):
            gone.add(key)
    return gone


def _held(state: State) -> set[Key]:
    """What nobody has to delete when everything in the state goes: what holds it does too.

    A pair between a peer and the hub counts as the hub's only: it is deleted by name unless the hub
    goes too, because the kernel frees a peer's namespace later, on its own.
    """
    devices = _devices(state)
    return {key for key, made in state.items() if _holder(made, state, devices) in state}


def _devices(state: State) -> dict[tuple[str, str], Key]:
    """Keys of devices by (namespace, interface) of their ends."""
    index: dict[tuple[str, str], Key] = {}
    for key, made in state.items():
        if isinstance(made, Bridge | Veth | Ifb):
            index[made.ns, made.name] = key
        if isinstance(made, Veth):
            index[made.peer_ns, made.peer_name] = key
    return index


def _holder(made: Object, state: State, devices: Mapping[tuple[str, str], Key]) -> Key | None:
    """Key of the object whose end is also the end of this one; None for a namespace."""
    if isinstance(made, Namespace):
        return None
    if isinstance(made, Bridge | Veth | Ifb):
        return ("namespace", made.ns)
    if isinstance(made, Class):
        return ("qdisc", made.ns, made.dev, made.parent & _MAJOR)
    if isinstance(made, Filter):
        hook = made.parent in (TC_H_INGRESS_FILTERS, TC_H_EGRESS_FILTERS)
        return ("qdisc", made.ns, made.dev, handles.CLSACT if hook else made.parent)
    if isinstance(made, Qdisc) and made.parent not in (TC_H_ROOT, TC_H_CLSACT):
        # The parent is a class of its own, or, where a qdisc has classes that nobody made (prio's
        # bands, netem's only one), the qdisc itself.
        above: Key = ("class", made.ns, made.dev, made.parent)
        return above if above in state else ("qdisc", made.ns, made.dev, made.parent & _MAJOR)
    return devices.get((made.ns, made.dev), ("namespace", made.ns))


def _gone(current: State, desired: State) -> set[Key]:
    """What has to go: what is not wanted, what cannot be changed in place, and all that they hold."""
    roots = [key for key, made in current.items() if key not in desired or not _changeable(made, desired[key])]
    return contained(current, roots) if roots and desired else set(roots)


def _changeable(before: Object, after: Object) -> bool:
    if before == after:
        return True
    if isinstance(before, Qdisc) and isinstance(after, Qdisc):
        return (before.kind, before.parent) == (after.kind, after.parent) and before.kind not in ("htb", "clsact")
    if isinstance(before, Class) and isinstance(after, Class):
        return (before.kind, before.parent) == (after.kind, after.parent)
    if isinstance(before, Route) and isinstance(after, Route):
        return before.dev == after.dev
    return isinstance(before, Filter) and isinstance(after, Filter) and _same_class(before, after)


def _same_class(before: Filter, after: Filter) -> bool:
    """Whether two entries that lead to a class differ at most in their action."""
    old, new = before.options, after.options
    return (
        isinstance(old, U32)
        and isinstance(new, U32)
        and old.classid > 0
        and before.protocol == after.protocol
        and old._replace(action=None) == new._replace(action=None)
    )


def _deletions(gone: list[Object]) -> list[Operation]:
    held = _held({made.key: made for made in gone})
    return [Operation("delete", made, implied=made.key in held) for made in reversed(gone)]


def stops_duplicating(before: Object, after: Object) -> bool:
    """Whether a change makes a duplicating netem one that does not duplicate."""
    old = before.options if isinstance(before, Qdisc) else None
    new = after.options if isinstance(after, Qdisc) else None
    return isinstance(old, Netem) and isinstance(new, Netem) and old.duplicate > 0 and new.duplicate == 0
