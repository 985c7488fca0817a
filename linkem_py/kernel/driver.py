"""Carries out operations: the port, and the driver that does it in the kernel."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from linkem_py.errors import KernelError
from linkem_py.kernel import offload
from linkem_py.kernel.answers import SUCCESS, Ack, AcknowledgementsLostError
from linkem_py.kernel.codec.address import address_message
from linkem_py.kernel.codec.decode import ClassRow, QdiscRow, class_rows, link_rows, qdisc_rows
from linkem_py.kernel.codec.link import (
    bridge_message,
    ifb_message,
    link_delete_message,
    link_dump_message,
    master_message,
    port_message,
    up_message,
    veth_message,
)
from linkem_py.kernel.codec.neighbour import forwarding_message, neighbour_message
from linkem_py.kernel.codec.route import route_message, rule_message
from linkem_py.kernel.codec.tc import (
    class_dump_message,
    class_message,
    filter_message,
    filters_delete_message,
    qdisc_dump_message,
    qdisc_message,
)
from linkem_py.kernel.namespaces import Namespace, NamespaceThread, reserve_files
from linkem_py.kernel.readback import present
from linkem_py.kernel.rollback import NOT_TRIED, Failure, Locate, apply_or_roll_back
from linkem_py.plan import match
from linkem_py.plan import objects as o
from linkem_py.plan.operations import Operation, contained

T = TypeVar("T")

_LO = 1
_IF_OPER_UP = 6  # RFC 2863
_LONGEST_WAIT_S = 5.0
# Parent, priority (before that of redirections to devices that duplicate), protocol, handle.
_MIRROR = (o.TC_H_EGRESS_FILTERS, 1, o.ETH_P_ALL, 1)
_FIRST_INDEX = 100  # below, the kernel puts tunnels of its own into some namespaces


class Driver(Protocol):
    """What a running network needs of the kernel. `FakeDriver` is one without a kernel."""

    def apply(self, operations: Sequence[Operation]) -> None:
        """Carry out all of them, or none: raises `OperationError` once what had succeeded is undone."""

    def close(self) -> None:
        """Let go of everything. Closing twice is harmless."""


class KernelDriver:
    """The driver for the kernel that this process runs on.

    Operations become netlink messages, consecutive ones for one namespace a batch. It keeps the
    namespaces open, and knows each device by the index it chose for it. Safe to use from several
    threads: one batch at a time.
    """

    def __init__(self, locate: Locate | None = None) -> None:
        self.locate = locate
        self.thread = NamespaceThread()
        self.namespaces: dict[str, Namespace] = {}
        self.messages_sent = 0
        self._indexes: dict[str, dict[str, int]] = {}
        self._next_index: dict[str, int] = {}
        self._lock = threading.Lock()

    def apply(self, operations: Sequence[Operation]) -> None:
        """Carry out all operations, or none. Raises `OperationError`, `CapabilityError`, `PrivilegeError`."""
        with self._lock:
            created = [operation.object for operation in operations if operation.verb == "create"]
            reserve_files(sum(isinstance(made, o.Namespace) for made in created))
            apply_or_roll_back(self._execute, operations, self.locate)
            self._wait_for_carrier([made for made in created if isinstance(made, o.Up)])

    def run_in(self, name: str, function: Callable[[], T]) -> T:
        """What a function returns that is run in a namespace, on the driver's thread: keep it short."""
        return self.thread.run(function, self.namespaces[name])

    def qdiscs(self, name: str, device: str) -> list[QdiscRow]:
        """The qdiscs of a device with their counters."""
        with self._lock:
            rows = self.namespaces[name].netlink.dump(qdisc_dump_message())
            return qdisc_rows(rows, self.index(name, device))

    def classes(self, name: str, device: str, parents: Iterable[int]) -> list[ClassRow]:
        """The classes of these qdiscs of a device with their counters.

        One dump each: a dump of all classes of a device ends at the first netem without a queue
        below it, whose only class the kernel cannot show.
        """
        with self._lock:
            netlink, index = self.namespaces[name].netlink, self.index(name, device)
            return [row for parent in parents for row in class_rows(netlink.dump(class_dump_message(index, parent)))]

    def mirror(self, name: str, device: str, target: str) -> None:
        """Copy what is handed to a device, before its queues, to a new device `target` beside it.

        The device needs a clsact. Raises `KernelError`, and nothing is left then.
        """
        with self._lock:
            netlink, index = self.namespaces[name].netlink, self.index(name, device)
            to = self._new_index(name, target)
            entry = o.Filter(name, device, *_MIRROR, match.everything(action=o.Mirror(target)))
            acks = netlink.transact(
                [ifb_message(o.Ifb(name, target), index=to), filter_message("create", entry, index, to)]
            )
            failed = next((ack for ack in acks if ack.errno), None)
            if failed is not None:
                netlink.transact([link_delete_message(to)])
                del self._indexes[name][target]
                words = failed.message or os.strerror(failed.errno)
                raise KernelError(f"peer {name}: what is handed to {device} cannot be copied: {words}")

    def unmirror(self, name: str, device: str, target: str) -> None:
        """End `mirror`. What has gone already is no error."""
        with self._lock:
            if name not in self.namespaces:
                return
            indexes = self._indexes[name]
            to = indexes.pop(target)
            messages = [link_delete_message(to)]
            if device in indexes:
                messages.insert(0, filters_delete_message(indexes[device], *_MIRROR[:3]))
            self.namespaces[name].netlink.transact(messages)

    def present(self, name: str) -> set[o.Key]:
        """Keys of everything that the kernel has in a namespace."""
        with self._lock:
            return present(self.namespaces[name].netlink, name, self._indexes[name])

    def index(self, name: str, device: str) -> int:
        """The interface index of a device."""
        return self._indexes[name][device]

    def close(self) -> None:
        """Close every namespace: the kernel frees all that is in them. Closing twice is harmless."""
        with self._lock:
            for namespace in self.namespaces.values():
                namespace.close()
            self.namespaces.clear()
            self._indexes.clear()
            self.thread.close()

    def __repr__(self) -> str:
        return f"<KernelDriver: {len(self.namespaces)} namespaces, {self.messages_sent} messages sent>"

    def _wait_for_carrier(self, raised: Sequence[o.Up]) -> None:
        """Wait for the kernel's worker (linkwatch) that puts queues on ports whose other end came up after.

        Until then all that such a port sends is dropped. Plans raise the hub's end first, so one dump
        of the hub tells of all. A port that takes longer than a bound is left to come up by itself.
        """
        waiting = {self.index(made.ns, made.dev) for made in raised if made.ns == o.HUB}
        give_up = time.monotonic() + _LONGEST_WAIT_S
        while waiting and time.monotonic() < give_up:
            rows = link_rows(self.namespaces[o.HUB].netlink.dump(link_dump_message(statistics=False)))
            waiting -= {row.ifindex for row in rows if row.operstate == _IF_OPER_UP}
            if waiting:
                time.sleep(0.001)

    # --- execution ---------------------------------------------------------------------------

    def _execute(self, operations: Sequence[Operation]) -> list[Failure | None]:
        outcome: list[Failure | None] = [NOT_TRIED] * len(operations)
        self._send(operations, outcome)
        self._settle_implied(operations, outcome)
        return outcome

    def _send(self, operations: Sequence[Operation], outcome: list[Failure | None]) -> None:
        """Carry out what is not implied, up to the first batch in which something fails."""
        messages: list[bytes] = []
        owners: list[int] = []  # position of the operation that each message is for
        where = ""
        for position, operation in enumerate(operations):
            made = operation.object
            if operation.implied:
                continue
            if isinstance(made, o.Namespace):
                if messages and not self._flush(where, operations, messages, owners, outcome):
                    return
                outcome[position] = self._namespace(operation, made)
                if outcome[position] is not None:
                    return
                continue
            if made.ns != where:
                if messages and not self._flush(where, operations, messages, owners, outcome):
                    return
                where = made.ns
            self._encode(operation, messages)
            while len(owners) < len(messages):
                owners.append(position)
        if messages:
            self._flush(where, operations, messages, owners, outcome)

    def _settle_implied(self, operations: Sequence[Operation], outcome: list[Failure | None]) -> None:
        """What is implied happened if what it is implied by did."""
        if not [operation for operation in operations if operation.implied]:
            return
        # Deletions come in reverse order, holders last; `contained` wants holders first.
        deletions = [
            (operation, failure)
            for operation, failure in zip(reversed(operations), reversed(outcome), strict=True)
            if operation.verb == "delete"
        ]
        roots = [operation.object.key for operation, failure in deletions if failure is None]
        away = contained({operation.object.key: operation.object for operation, _ in deletions}, roots)
        for position, operation in enumerate(operations):
            if operation.implied and operation.object.key in away:
                self._forget(operation.object)
                outcome[position] = None

    def _flush(
        self,
        where: str,
        operations: Sequence[Operation],
        messages: list[bytes],
        owners: list[int],
        outcome: list[Failure | None],
    ) -> bool:
        """Send what is pending to its namespace; whether all of it succeeded."""
        self.messages_sent += len(messages)
        lost: set[int] = set()
        try:
            acks: Sequence[Ack | None] = self.namespaces[where].netlink.transact(messages)
        except AcknowledgementsLostError as error:
            acks = error.acks
        pending = dict.fromkeys(owners)
        for position in pending:
            outcome[position] = None
        if acks.count(SUCCESS) < len(acks):
            self._sort_out(operations, acks, owners, outcome, lost)
        if lost:
            self._compare(where, operations, lost, outcome)
        good = True
        for position in pending:
            if outcome[position] is None and operations[position].verb != "change":
                outcome[position] = self._finish(operations[position])
            good = good and outcome[position] is None
        messages.clear()
        owners.clear()
        return good

    def _sort_out(
        self,
        operations: Sequence[Operation],
        acks: Sequence[Ack | None],
        owners: Sequence[int],
        outcome: list[Failure | None],
        lost: set[int],
    ) -> None:
        """The outcome of every operation in a batch of which not every answer is a success."""
        answers: dict[int, list[Ack | None]] = {}
        for position, ack in zip(owners, acks, strict=True):
            answers.setdefault(position, []).append(ack)
        for position, own in answers.items():
            failed = next((ack for ack in own if ack is not None and ack.errno), None)
            if failed is not None:
                outcome[position] = Failure(failed.errno, failed.message)
                if any(ack is not None and not ack.errno for ack in own):
                    self._undo_half(operations[position])
            elif None in own:
                lost.add(position)

    def _compare(
        self, where: str, operations: Sequence[Operation], lost: set[int], outcome: list[Failure | None]
    ) -> None:
        """Answers were lost: look what the kernel has. A change is sent again, by itself."""
        found = present(self.namespaces[where].netlink, where, self._indexes[where])
        for position in sorted(lost):
            operation = operations[position]
            if operation.verb == "change":
                messages: list[bytes] = []
                self._encode(operation, messages)
                ack = self.namespaces[where].netlink.transact(messages)[0]
                outcome[position] = Failure(ack.errno, ack.message) if ack.errno else None
            elif (operation.object.key in found) == (operation.verb == "create"):
                outcome[position] = None
            else:
                outcome[position] = Failure(0, "the kernel's answer was lost, and the change is not there")

    def _namespace(self, operation: Operation, made: o.Namespace) -> Failure | None:
        if operation.verb == "delete":
            self.namespaces.pop(made.name).close()
            self._indexes.pop(made.name, None)
            return None
        try:
            self.namespaces[made.name] = self.thread.create(made.name, made.sysctls)
        except OSError as error:
            return Failure(error.errno or 0, "" if error.errno else str(error))
        self._indexes[made.name] = {"lo": _LO}
        self._next_index[made.name] = _FIRST_INDEX
        return None

    def _finish(self, operation: Operation) -> Failure | None:
        """What remains to be done once the kernel has answered."""
        made = operation.object
        if operation.verb == "delete":
            self._forget(made)
            return None
        if operation.verb == "create" and isinstance(made, o.Veth) and not made.offload:
            try:
                offload.switch_off(self.namespaces[made.ns].netlink, made.name)
                offload.switch_off(self.namespaces[made.peer_ns].netlink, made.peer_name)
            except OSError as error:
                self._undo_half(operation)
                return Failure(error.errno or 0, "switching offloads off")
        return None

    def _undo_half(self, operation: Operation) -> None:
        # Only devices take several messages, and whatever was made of one goes with it.
        made = operation.object
        if operation.verb == "create" and isinstance(made, o.Veth | o.Bridge | o.Ifb):
            with contextlib.suppress(KernelError, OSError):
                self.namespaces[made.ns].netlink.transact([link_delete_message(made.name)])
            self._forget(made)

    # --- encoding ----------------------------------------------------------------------------

    def _encode(self, operation: Operation, messages: list[bytes]) -> None:
        verb, made = operation.verb, operation.object
        if isinstance(made, o.Qdisc):
            before = operation.before.options if isinstance(operation.before, o.Qdisc) else None
            messages.append(qdisc_message(verb, made, self._indexes[made.ns][made.dev], before))
        elif isinstance(made, o.Class):
            messages.append(class_message(verb, made, self._indexes[made.ns][made.dev]))
        elif isinstance(made, o.Filter) and verb == "delete" and not made.handle >> 20:
            # The kernel has chosen the number of that root table. Whatever goes without its qdisc is the only
            # entry of its priority.
            index = self._indexes[made.ns][made.dev]
            messages.append(filters_delete_message(index, made.parent, made.priority, made.protocol))
        elif isinstance(made, o.Filter):
            action = made.options.action if isinstance(made.options, o.U32) else None
            redirect = self._indexes[made.ns].get(action.device, 0) if isinstance(action, o.Redirect | o.Mirror) else 0
            messages.append(filter_message(verb, made, self._indexes[made.ns][made.dev], redirect))
        elif isinstance(made, o.Neighbour):
            messages.append(neighbour_message(verb, made, self._indexes[made.ns][made.dev]))
        elif isinstance(made, o.Forwarding):
            messages.append(forwarding_message(verb, made, self._indexes[made.ns][made.dev]))
        elif isinstance(made, o.Address):
            messages.append(address_message(verb, made, self._indexes[made.ns][made.dev]))
        elif isinstance(made, o.Route):
            messages.append(route_message(verb, made, self._indexes[made.ns].get(made.dev, 0)))
        elif isinstance(made, o.Rule):
            messages.append(rule_message(verb, made))
        elif isinstance(made, o.Up):
            messages.append(up_message(self._indexes[made.ns][made.dev], up=verb != "delete"))
        elif verb == "delete" and isinstance(made, o.Bridge | o.Veth | o.Ifb):
            messages.append(link_delete_message(self._indexes[made.ns][made.name]))
        elif isinstance(made, o.Bridge):
            messages.append(bridge_message(made, index=self._new_index(made.ns, made.name)))
        elif isinstance(made, o.Ifb):
            messages.append(ifb_message(made, index=self._new_index(made.ns, made.name)))
        elif isinstance(made, o.Veth):
            self._encode_veth(made, messages)
        else:
            raise TypeError(f"no message for {made!r}")

    def _encode_veth(self, made: o.Veth, messages: list[bytes]) -> None:
        index = self._new_index(made.ns, made.name)
        peer_index = self._new_index(made.peer_ns, made.peer_name)
        bridges = self._indexes[made.ns]
        fd = None if made.peer_ns == made.ns else self.namespaces[made.peer_ns].fd
        messages.append(
            veth_message(made, peer_ns_fd=fd, master_ifindex=bridges[made.master], index=index, peer_index=peer_index)
        )
        messages.append(port_message(index, flood=made.flood))
        if made.peer_master:
            messages.append(master_message(peer_index, bridges[made.peer_master]))
            messages.append(port_message(peer_index, flood=made.peer_flood))

    def _new_index(self, name: str, device: str) -> int:
        index = self._next_index[name]
        self._next_index[name] = index + 1
        self._indexes[name][device] = index
        return index

    def _forget(self, made: o.Object) -> None:
        if isinstance(made, o.Namespace):
            if made.name in self.namespaces:
                self.namespaces.pop(made.name).close()
            self._indexes.pop(made.name, None)
        elif isinstance(made, o.Bridge | o.Ifb | o.Veth):
            self._indexes.get(made.ns, {}).pop(made.name, None)
            if isinstance(made, o.Veth):
                self._indexes.get(made.peer_ns, {}).pop(made.peer_name, None)
