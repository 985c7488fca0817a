"""Live changes: what leads from the links as they are to other impairments of theirs.

The general way makes everything that two states have and compares them. Of a link whose class, netem
and queue stay in place, which is nearly every change, only what its impairment shapes is made, and held
against what was made for it last: tens of thousands of links per second.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

from linkem_py.model.impairment import FIELDS, Impairment
from linkem_py.model.topology import Link, LinkKey
from linkem_py.plan import translate
from linkem_py.plan.desired import state
from linkem_py.plan.objects import Class, Fifo, Qdisc, QdiscOptions
from linkem_py.plan.operations import Operation, operations, stops_duplicating
from linkem_py.plan.tree import Planner, Shape

_new = tuple.__new__
_namespace = attrgetter("object.ns")  # what a link consists of is in its source's
_ELSEWHERE = ("rate_kbit", "burst_kb", "queue_ms", "queue_packets", "queue", "mtu")
_OF_NETEM = attrgetter(*(name for name in FIELDS if name not in _ELSEWHERE))


class Wish(NamedTuple):
    """What a link is going to be. `shaped`, `ceiling_kbit` and `outage` as in `Link`.

    `rerated`: it differs from `old` in its rate only, and has one both before and after.
    """

    key: LinkKey
    old: Link
    impairment: Impairment
    shaped: bool
    ceiling_kbit: float | None = None
    outage: bool = False
    rerated: bool = False


class LiveChanges:
    """Plans live changes of one topology's links, one after the other; remembers their last shapes.

    What it returns follows from the planner and the wishes alone: what is remembered of a link counts
    only while the link is the same object.
    """

    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        self._shapes: dict[LinkKey, tuple[Link, Shape]] = {}

    def plan(self, wishes: Iterable[Wish]) -> tuple[list[Link], list[Operation]]:
        """The links as they are going to be, and the operations that take the kernel there.

        Revisions count what takes a netem message: two impairments that netem cannot tell apart have
        one revision. Netems that stop duplicating come first: a kernel with the duplicate rule checks
        after every step.
        """
        links: list[Link] = []
        first: list[Operation] = []
        steps: list[Operation] = []
        others: list[tuple[Link, Link]] = []
        for wish in wishes:
            known, shape = self._shapes.get(wish.key, _UNKNOWN)
            if shape is None or known is not wish.old:
                shape = self.planner.shape(wish.old)
            changed = self._rerated(wish, shape) if wish.rerated else self._reshaped(wish, shape)
            if changed is None:
                new = self._changed(wish)
                others.append((wish.old, new))
            else:
                new, now = changed
                self._shapes[wish.key] = changed
                _compare(shape, now, first, steps)
            links.append(new)
        # Namespace by namespace, which a driver can send at once; order matters within one only.
        return links, sorted(first + self._general(others) + steps, key=_namespace)

    def _rerated(self, wish: Wish, shape: Shape) -> tuple[Link, Shape] | None:
        """As `_reshaped`, in half the time where nothing but the rate differs and stays below its ceiling."""
        old, impairment, ceiling_kbit = wish.old, wish.impairment, wish.ceiling_kbit
        netem, class_, queue = shape
        before_kbit, rate_kbit = old.impairment.rate_kbit, impairment.rate_kbit
        if (
            class_ is None
            or queue is None
            or ceiling_kbit is None
            or before_kbit is None
            or rate_kbit is None
            or not before_kbit <= ceiling_kbit >= rate_kbit
            or (impairment.duplicate_pct and self.planner.isolating)
        ):
            return self._reshaped(wish, shape)
        # Below the ceiling netem does not depend on the rate, and the queue is of the same kind.
        options, queue_bytes = translate.rerated(impairment)
        # `tuple.__new__` makes a named tuple in a third of the time of its own constructor.
        class_ = _new(Class, (*class_[:5], options))
        if impairment.queue_packets is None:
            queue = _new(Qdisc, (*queue[:5], _new(Fifo, (queue_bytes,))))
        return _link(wish, old.revision), _new(Shape, (netem, class_, queue))

    def _reshaped(self, wish: Wish, shape: Shape) -> tuple[Link, Shape] | None:
        """The link and its shape, in which whatever stays the same is the same object.

        None if it takes more than changes in place: a queue that comes or is of another kind, a
        duplication on a device of its own, a route, an outage that begins or ends.
        """
        _, old, impairment, shaped, ceiling_kbit, outage, _ = wish
        planner, was = self.planner, old.impairment
        shared = planner.shared(old.source, old.segment)
        if was.mtu != impairment.mtu:
            return None
        netem, class_, queue = shape
        if outage != old.outage or (planner.isolating and (was.duplicate_pct or impairment.duplicate_pct)):
            return None
        if class_ is not None:
            if shaped != old.shaped:
                return None
            if (was.rate_kbit, was.burst_kb, was.shaper) != (
                impairment.rate_kbit,
                impairment.burst_kb,
                impairment.shaper,
            ):
                rate = translate.htb_class(impairment)
                if rate != class_.options:  # another shaper's rate is not the class's
                    class_ = Class(*class_[:5], rate)
            if queue is not None and not _queues_alike(was, impairment):
                kind, limit = planner.queue(impairment, shared)
                if kind != queue.kind:
                    return None
                if limit != queue.options:
                    queue = Qdisc(*queue[:5], limit)
        below = shared is not None
        if class_ is not None and _netem_stays(was, impairment, netem.options, ceiling_kbit, below):
            return _link(wish, old.revision), Shape(netem, class_, queue)
        options = translate.netem(impairment, own_rate=class_ is None, ceiling_kbit=ceiling_kbit, shared=below)
        if was.seed == impairment.seed and options[:-1] == netem.options[:-1]:
            return _link(wish, old.revision), Shape(netem, class_, queue)
        new = _link(wish, old.revision + 1)
        seeded = planner.seeded(options, new)
        if seeded != netem.options:  # another seed is none where the kernel has no seeds
            netem = Qdisc(*netem[:5], seeded)
        return new, Shape(netem, class_, queue)

    def _changed(self, wish: Wish) -> Link:
        new = _link(wish, wish.old.revision)
        if self.planner.unseeded(wish.old) == self.planner.unseeded(new):
            return new
        return _link(wish, wish.old.revision + 1)

    def _general(self, pairs: list[tuple[Link, Link]]) -> list[Operation]:
        return operations(
            state(made for old, _ in pairs for made in self.planner.leaf(old)),
            state(made for _, new in pairs for made in self.planner.leaf(new)),
        )


def _link(wish: Wish, revision: int) -> Link:
    old = wish.old
    return Link(
        old.source, old.destination, old.segment, wish.impairment, old.slot, revision,
        wish.shaped, wish.ceiling_kbit, wish.outage, old.down,
    )  # fmt: skip


_UNKNOWN: tuple[Link | None, Shape | None] = (None, None)


def _queues_alike(first: Impairment, second: Impairment) -> bool:
    return (
        first.rate_kbit == second.rate_kbit
        and first.queue_ms == second.queue_ms
        and first.queue_packets == second.queue_packets
        and first.queue == second.queue
        and first.ecn == second.ecn
        and first.shaper == second.shaper
        and (first.shaper != "tbf" or first.burst_kb == second.burst_kb)
    )


def _netem_stays(
    was: Impairment, impairment: Impairment, options: QdiscOptions, ceiling_kbit: float | None, shared: bool
) -> bool:
    """Whether netem, with its rate elsewhere, has nothing to do with what differs: true of most rates and queues."""
    return (
        impairment.shaper != "netem"
        and was.delay_ms == impairment.delay_ms
        and _OF_NETEM(was) == _OF_NETEM(impairment)
        and (
            translate.netem_limit(impairment, own_rate=False, ceiling_kbit=ceiling_kbit),
            translate.latency_ns(impairment, shared=shared),
        )
        == options[:2]
    )


def _compare(before: Shape, after: Shape, first: list[Operation], steps: list[Operation]) -> None:
    old_netem, old_class, old_queue = before
    netem, class_, queue = after
    if class_ is not None and class_ is not old_class:
        steps.append(_new(Operation, ("change", class_, old_class, False)))
    if netem is not old_netem:
        step = Operation("change", netem, old_netem)
        (first if stops_duplicating(old_netem, netem) else steps).append(step)
    if queue is not None and queue is not old_queue:
        steps.append(_new(Operation, ("change", queue, old_queue, False)))
