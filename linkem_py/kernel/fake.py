"""A driver without a kernel: it keeps the state in memory and refuses what the kernel refuses."""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator, Sequence

from linkem_py.kernel.rollback import NOT_TRIED, Failure, Locate, apply_or_roll_back
from linkem_py.model.capabilities import EVERYTHING, Capabilities
from linkem_py.plan.desired import EMPTY, State
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
    Forwarding,
    Ifb,
    Key,
    Namespace,
    Neighbour,
    Netem,
    Object,
    Prio,
    Qdisc,
    Redirect,
    Route,
    Rule,
    Ruleset,
    U32Table,
    Up,
    Veth,
)
from linkem_py.plan.operations import Operation

RENEWABLE = (Up, Address, Neighbour, Route)  # made again, they replace what is there
_MAJOR = 0xFFFF0000
_TABLE = 0xFFF00000
_HOOKS = (TC_H_INGRESS_FILTERS, TC_H_EGRESS_FILTERS)
_CLSACT = 0xFFFF0000

EXISTS = Failure(errno.EEXIST, "")
MISSING = Failure(errno.ENOENT, "")
DOWN = Failure(errno.ENETDOWN, "Device for nexthop is not up")
NO_DEVICE = Failure(errno.ENODEV, "")
NO_PARENT = Failure(errno.ENOENT, "Specified qdisc not found")
NO_TABLE = Failure(errno.EINVAL, "Specified hash table not found")
NO_CLASS = Failure(errno.EINVAL, "Specified class not found")
IN_USE = Failure(errno.EBUSY, "")
NO_CHANGE = Failure(errno.EOPNOTSUPP, "Change operation not supported")
MIXED = Failure(errno.EINVAL, "netem: cannot mix duplicating netems with other netems in tree")
INJECTED = Failure(errno.EINVAL, "injected")


class FakeDriver:
    """Carries operations out in memory, as the kernel would.

    What holds an object must exist before it, and takes it along when it goes; a class or table that
    a filter leads to cannot be deleted. After an error it goes on to the end of the batch, which is
    one namespace's, as `KernelDriver` does; then what succeeded is rolled back.

    Parameters
    ----------
    capabilities : of the kernel that it plays; without ``mixed_duplicate`` it has the duplicate rule
    state : what is there at the start
    fail_at : positions in `log` of operations that fail whatever they are, rollback included
    locate : finds the link of an operation, for messages

    Attributes
    ----------
    log : every operation sent, in order, whether it succeeded or not
    """

    def __init__(
        self,
        capabilities: Capabilities = EVERYTHING,
        *,
        state: State = EMPTY,
        fail_at: int | Collection[int] = (),
        locate: Locate | None = None,
    ) -> None:
        self.capabilities = capabilities
        self.locate = locate
        self.fail_at: Collection[int] = ()
        self.log: list[Operation] = []
        self._clear()
        self.apply([Operation("create", made) for made in state.values()])
        self.log.clear()
        self.fail_at = (fail_at,) if isinstance(fail_at, int) else fail_at

    @property
    def state(self) -> dict[Key, Object]:
        """Everything that exists, in the order in which it was made."""
        return dict(self._objects)

    def apply(self, operations: Sequence[Operation]) -> None:
        """Carry out all operations, or none. Raises `OperationError`."""
        apply_or_roll_back(self.execute, operations, self.locate)

    def execute(self, operations: Sequence[Operation]) -> list[Failure | None]:
        """Carry out what goes; one outcome for each operation, None for success."""
        outcome: list[Failure | None] = [NOT_TRIED] * len(operations)
        failed_in: str | None = None
        for position, operation in enumerate(operations):
            if operation.implied:
                outcome[position] = None
                continue
            made = operation.object
            if failed_in is not None and (isinstance(made, Namespace) or made.ns != failed_in):
                break
            failure = INJECTED if len(self.log) in self.fail_at else self._one(operation)
            self.log.append(operation)
            outcome[position] = failure
            if failure is not None:
                failed_in = "" if isinstance(made, Namespace) else made.ns
        return outcome

    def close(self) -> None:
        """Let go of everything. Closing twice is harmless."""
        self._clear()

    def __repr__(self) -> str:
        return f"<FakeDriver: {len(self._objects)} objects, {len(self.log)} operations sent>"

    # --- what exists -------------------------------------------------------------------------

    def _clear(self) -> None:
        self._objects: dict[Key, Object] = {}
        self._devices: dict[tuple[str, str], Key] = {}  # by namespace and interface
        self._held: dict[Key, dict[Key, None]] = {}  # what goes with what
        self._users: dict[Key, set[Key]] = {}  # filters by the class or table they lead to
        self._parents: dict[tuple[str, str, int], Key] = {}  # qdiscs by where they hang
        self._netems: dict[tuple[str, str], dict[Key, bool]] = {}  # by device: whether they duplicate

    def _one(self, operation: Operation) -> Failure | None:
        made = operation.object
        if operation.verb == "create":
            return EXISTS if made.key in self._objects else self._create(made)
        if made.key not in self._objects:
            return MISSING
        return self._change(made) if operation.verb == "change" else self._delete(made.key)

    def _create(self, made: Object) -> Failure | None:
        failure = self._refusal(made)
        if failure is not None:
            return failure
        self._objects[made.key] = made
        for holder in self._holders(made):
            self._held.setdefault(holder, {})[made.key] = None
        for end in _ends(made):
            self._devices[end] = made.key
        for used in self._used(made):
            self._users.setdefault(used, set()).add(made.key)
        if isinstance(made, Qdisc):
            self._parents[made.ns, made.dev, made.parent] = made.key
        self._note_netem(made)
        return None

    def _change(self, made: Object) -> Failure | None:
        old = self._objects[made.key]
        if isinstance(made, Qdisc) and isinstance(old, Qdisc):
            if (made.kind, made.parent) != (old.kind, old.parent):
                return Failure(errno.EINVAL, "Change of kind or place needs a new qdisc")
            if made.kind in ("htb", "clsact"):
                return NO_CHANGE
            if self._mixes(made):
                return MIXED
        elif isinstance(made, Class) and isinstance(old, Class):
            if made.parent != old.parent:
                return Failure(errno.EINVAL, "Class cannot move")
        elif isinstance(made, Route | Ruleset) or (isinstance(made, RENEWABLE) and made == old):
            pass
        elif not _other_action(made, old):
            return NO_CHANGE
        self._objects[made.key] = made
        self._note_netem(made)
        return None

    def _delete(self, key: Key) -> Failure | None:
        if self._users.get(key):
            return IN_USE
        if isinstance(self._objects[key], Class) and any(held[0] == "class" for held in self._held.get(key, ())):
            return IN_USE
        self._remove(key)
        return None

    def _remove(self, key: Key) -> None:
        """Take an object away with all that it holds."""
        for held in list(self._held.pop(key, ())):
            if held in self._objects:
                self._remove(held)
        made = self._objects.pop(key)
        for holder in self._holders(made):
            self._held.get(holder, {}).pop(key, None)
        for end in _ends(made):
            del self._devices[end]
        for used in self._used(made):
            self._users.get(used, set()).discard(key)
        if isinstance(made, Qdisc):
            del self._parents[made.ns, made.dev, made.parent]
            self._netems.get((made.ns, made.dev), {}).pop(key, None)
        if isinstance(made, Bridge):
            self._release_ports(made)

    def _release_ports(self, bridge: Bridge) -> None:
        # Ports outlive their bridge, their forwarding entries do not.
        for key, made in list(self._objects.items()):
            if not isinstance(made, Veth) or made.ns != bridge.ns or bridge.name not in (made.master, made.peer_master):
                continue
            for held in list(self._held.get(key, ())):
                entry = self._objects[held]
                if isinstance(entry, Forwarding):
                    self._remove(held)
            self._objects[key] = made._replace(
                master="" if made.master == bridge.name else made.master,
                peer_master="" if made.peer_master == bridge.name else made.peer_master,
            )

    # --- what the kernel asks for --------------------------------------------------------------

    def _refusal(self, made: Object) -> Failure | None:
        if isinstance(made, Namespace):
            return None
        if isinstance(made, Bridge | Veth | Ifb):
            return self._device_refusal(made)
        if isinstance(made, Route | Rule | Ruleset) and not made.dev:
            return None if ("namespace", made.ns) in self._objects else NO_DEVICE
        if (made.ns, made.dev) not in self._devices:
            return NO_DEVICE
        if isinstance(made, Route) and ("up", made.ns, made.dev) not in self._objects:
            return DOWN
        if isinstance(made, Forwarding):
            return None if self._is_port(made) else Failure(errno.EOPNOTSUPP, "not a port of a bridge")
        if isinstance(made, Qdisc):
            return self._qdisc_refusal(made)
        if isinstance(made, Class):
            qdisc = self._objects.get(("qdisc", made.ns, made.dev, made.classid & _MAJOR))
            inner = made.parent & ~_MAJOR and ("class", made.ns, made.dev, made.parent) not in self._objects
            return NO_PARENT if inner or not isinstance(qdisc, Qdisc) or qdisc.kind != made.kind else None
        return self._filter_refusal(made) if isinstance(made, Filter) else None

    def _device_refusal(self, made: Bridge | Veth | Ifb) -> Failure | None:
        ends = _ends(made)
        if any(("namespace", ns) not in self._objects for ns, _ in ends):
            return Failure(errno.EINVAL, "no such namespace")
        if any(end in self._devices for end in ends) or len(set(ends)) < len(ends):
            return EXISTS
        masters = [made.master, made.peer_master] if isinstance(made, Veth) else []
        for (ns, _), master in zip(ends, masters, strict=False):
            if master and not isinstance(self._objects.get(("device", ns, master)), Bridge):
                return NO_DEVICE
        return None

    def _is_port(self, made: Forwarding) -> bool:
        device = self._objects[self._devices[made.ns, made.dev]]
        if not isinstance(device, Veth):
            return False
        return bool(device.master if (made.ns, made.dev) == (device.ns, device.name) else device.peer_master)

    def _qdisc_refusal(self, made: Qdisc) -> Failure | None:
        if made.parent not in (TC_H_ROOT, TC_H_CLSACT) and not self._has_class(made.ns, made.dev, made.parent):
            return NO_PARENT
        if (made.ns, made.dev, made.parent) in self._parents:
            return EXISTS
        return MIXED if self._mixes(made) else None

    def _has_class(self, ns: str, dev: str, classid: int) -> bool:
        """Whether there is such a class: one that was made, a band of prio, or netem's only one."""
        if ("class", ns, dev, classid) in self._objects:
            return True
        above = self._objects.get(("qdisc", ns, dev, classid & _MAJOR))
        minor = classid & ~_MAJOR
        if not isinstance(above, Qdisc):
            return False
        if isinstance(above.options, Prio):
            return 1 <= minor <= above.options.bands
        return isinstance(above.options, Netem) and minor == 1

    def _filter_refusal(self, made: Filter) -> Failure | None:
        qdisc = _CLSACT if made.parent in _HOOKS else made.parent
        if ("qdisc", made.ns, made.dev, qdisc) not in self._objects:
            return NO_PARENT
        options = made.options
        if isinstance(options, U32Table):
            return None
        if made.handle & _TABLE:
            table = self._objects.get(self._table(made, made.handle))
            if not isinstance(table, Filter) or not isinstance(table.options, U32Table):
                return NO_TABLE
            if made.handle >> 12 & 0xFF >= table.options.divisor:
                return NO_TABLE
        if options.link and self._table(made, options.link) not in self._objects:
            return NO_TABLE
        if isinstance(options.action, Redirect) and (made.ns, options.action.device) not in self._devices:
            return NO_DEVICE
        leads = made.parent not in _HOOKS and options.classid not in (0, made.parent)
        return NO_CLASS if leads and not self._has_class(made.ns, made.dev, options.classid) else None

    def _mixes(self, made: Qdisc) -> bool:
        """Whether the kernel has the duplicate rule and this qdisc would break it (check_netem_in_tree)."""
        if self.capabilities.mixed_duplicate or not isinstance(made.options, Netem):
            return False
        others = self._netems.get((made.ns, made.dev), {}).copy()
        others.pop(made.key, None)
        return bool(others) and (made.options.duplicate > 0 or any(others.values()))

    def _note_netem(self, made: Object) -> None:
        if isinstance(made, Qdisc) and isinstance(made.options, Netem):
            self._netems.setdefault((made.ns, made.dev), {})[made.key] = made.options.duplicate > 0

    # --- what belongs to what ------------------------------------------------------------------

    def _holders(self, made: Object) -> Iterator[Key]:
        """What takes an object along when it goes."""
        if isinstance(made, Namespace):
            return
        if isinstance(made, Bridge | Veth | Ifb):
            for ns, _ in _ends(made):
                yield ("namespace", ns)
        elif isinstance(made, Class):
            above: Key = ("class", made.ns, made.dev, made.parent)
            yield above if above in self._objects else ("qdisc", made.ns, made.dev, made.classid & _MAJOR)
        elif isinstance(made, Qdisc) and made.parent not in (TC_H_ROOT, TC_H_CLSACT):
            above = ("class", made.ns, made.dev, made.parent)
            yield above if above in self._objects else ("qdisc", made.ns, made.dev, made.parent & _MAJOR)
        elif isinstance(made, Filter):
            yield ("qdisc", made.ns, made.dev, _CLSACT if made.parent in _HOOKS else made.parent)
            if made.handle & _TABLE and not isinstance(made.options, U32Table):
                yield self._table(made, made.handle)
        else:
            yield self._devices[made.ns, made.dev] if made.dev else ("namespace", made.ns)

    def _used(self, made: Object) -> Iterator[Key]:
        """The class and the table that a filter leads to: they stay as long as it does."""
        if isinstance(made, Filter) and isinstance(made.options, U32):
            if made.options.link:
                yield self._table(made, made.options.link)
            if made.options.classid:
                yield ("class", made.ns, made.dev, made.options.classid)

    def _table(self, made: Filter, handle: int) -> Key:
        # Tables belong to the qdisc; a clsact's two hooks share them in the kernel, but each of ours
        # has numbers of its own.
        return ("filter", made.ns, made.dev, made.parent, made.priority, handle & _TABLE)


def _other_action(made: Object, old: Object) -> bool:
    """Whether these are a filter's entries that differ in their action only."""
    if not (isinstance(made, Filter) and isinstance(old, Filter)):
        return False
    now, before = made.options, old.options
    if not (isinstance(now, U32) and isinstance(before, U32)):
        return False
    return now._replace(action=None) == before._replace(action=None)


def _ends(made: Object) -> list[tuple[str, str]]:
    if isinstance(made, Veth):
        return [(made.ns, made.name), (made.peer_ns, made.peer_name)]
    if isinstance(made, Bridge | Ifb):
        return [(made.ns, made.name)]
    return []
