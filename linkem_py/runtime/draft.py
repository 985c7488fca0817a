"""What the links of a network are going to be: batches of changes, checked and not made yet."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from linkem_py.errors import RequestError, TopologyError
from linkem_py.model.capabilities import EVERYTHING, Capabilities
from linkem_py.model.default_rate import at_least_rated
from linkem_py.model.impairment import FIELDS, Impairment
from linkem_py.model.topology import Link, LinkKey, Topology
from linkem_py.plan import duplicates
from linkem_py.plan.live import Wish
from linkem_py.plan.requirements import check_links
from linkem_py.runtime.changes import Batch, Change, Clearing, Rescheduled, Scheduled, full_key

_UNIMPAIRED = Impairment()
_NAMES = frozenset(FIELDS)
_RATE = frozenset({"rate_kbit"})


class Draft:
    """Changes of links on top of a topology, which stays as it is.

    A batch is all or nothing, and sees what the batches before it made.

    Attributes
    ----------
    default_rate_kbit : for links that have no rate, or would lose it; None: none
    wishes : what becomes of every link that was named
    outages : whether the kernel can cut a link
    """

    def __init__(
        self, topology: Topology, capabilities: Capabilities = EVERYTHING, default_rate_kbit: float | None = None
    ) -> None:
        self._topology = topology
        self.default_rate_kbit = default_rate_kbit
        self._capabilities = capabilities
        self.outages = capabilities.gact
        self.wishes: dict[LinkKey, Wish] = {}

    def add(self, batch: Batch) -> None:
        """Add a batch: links by (source, destination[, segment]). Raises `TopologyError`, and is as before then."""
        if not isinstance(batch, Mapping):
            raise RequestError("links", "must be a mapping of links to their changes", batch)
        if not batch:
            raise RequestError("links", "must name at least one link", dict(batch))
        links = self._topology.links
        added: dict[LinkKey, Wish] = {}
        for key, change in batch.items():
            link = links.get(key)  # type: ignore[arg-type]  # most keys are whole
            if link is None:
                link = need_link(self._topology, link_key(key))
                key = link.key
            added[key] = self._wish(key, link, change)  # type: ignore[index, arg-type]  # it is whole now
        if len(added) < len(batch):
            names = [str(need_link(self._topology, link_key(key))) for key in batch]
            raise RequestError("links", "must not name a link twice", names)
        check_links(
            self._topology,
            [
                attrs.evolve(wish.old, impairment=wish.impairment)
                for wish in added.values()
                if _is_special(wish.impairment)
            ],
            self._capabilities,
        )
        self._check_duplicates(added)
        self.wishes.update(added)

    def _wish(self, key: LinkKey, link: Link, change: Change) -> Wish:
        if type(change) is dict and change.keys() == _RATE and self._can_be_rerated(key, link, change["rate_kbit"]):
            return self._rerated(key, link, change["rate_kbit"])
        now = self.wishes.get(key) or Wish(key, link, link.impairment, link.shaped, link.ceiling_kbit, link.outage)
        ceiling_kbit, outage = now.ceiling_kbit, now.outage
        try:
            if isinstance(change, Scheduled):
                impairment, outage = now.impairment, change.changes[-1].outage
                for scheduled in change.changes:
                    impairment = scheduled.applied_to(impairment)
                if outage and not self.outages:
                    raise RequestError("outage", "needs gact (act_gact), which this kernel lacks", True)
            elif isinstance(change, Rescheduled):
                impairment, ceiling_kbit, outage = now.impairment, change.ceiling_kbit, False
            else:
                impairment = _changed(now.impairment, change)
            impairment = at_least_rated(impairment, self.default_rate_kbit)
        except TopologyError as error:
            raise error.at(str(link)) from None
        shaped = now.shaped or impairment.rate_kbit is not None or ceiling_kbit is not None
        return Wish(key, link, impairment, shaped, ceiling_kbit, outage)

    def _can_be_rerated(self, key: LinkKey, link: Link, rate_kbit: float | None) -> bool:
        # What most ticks of most schedules are, so that thousands of links can have one.
        return rate_kbit is not None and link.impairment.rate_kbit is not None and key not in self.wishes

    def _rerated(self, key: LinkKey, link: Link, rate_kbit: float) -> Wish:
        try:
            impairment = link.impairment.at_rate(rate_kbit)
        except TopologyError as error:
            raise error.at(str(link)) from None
        return Wish(key, link, impairment, link.shaped, link.ceiling_kbit, link.outage, True)

    def _check_duplicates(self, added: Mapping[LinkKey, Wish]) -> None:
        topology = self._topology
        if topology.duplicates != "strict":
            return
        wishes = {**self.wishes, **added}
        sources = {
            (wish.old.source, wish.old.segment) for wish in added.values() if wish.impairment.duplicate_pct
        }  # nobody else can break the rule
        duplicates.check(
            topology,
            [
                attrs.evolve(link, impairment=wishes[link.key].impairment) if link.key in wishes else link
                for source, segment in sources
                for link in topology.outgoing(source, segment)
            ],
        )


def _is_special(impairment: Impairment) -> bool:
    return impairment.queue != "fifo" or impairment.shaper != "htb"


def link_key(key: tuple[str, ...]) -> LinkKey:
    """(source, destination, segment) from that, or from (source, destination). Raises `RequestError`."""
    if not isinstance(key, tuple) or len(key) not in (2, 3):
        raise RequestError("link", "must be (source, destination) or (source, destination, segment)", key)
    return full_key(key)


def need_link(topology: Topology, key: LinkKey) -> Link:
    """A link of a topology. Raises `RequestError` if it has no such link."""
    with asked():
        return topology.link(key[0], key[1], segment=key[2])


@contextlib.contextmanager
def asked() -> Iterator[None]:
    """Turns what a topology says of a name it does not have into the `RequestError` of who asked for it."""
    try:
        yield
    except TopologyError as error:
        raise RequestError(error.field, error.rule, error.value, where=error.where) from None


def _changed(impairment: Impairment, change: Mapping[str, Any] | Impairment | Clearing) -> Impairment:
    if isinstance(change, Impairment):
        return change
    clearing = isinstance(change, Clearing)
    fields = change.fields if isinstance(change, Clearing) else change
    if not isinstance(fields, Mapping):
        raise RequestError("change", "must be a mapping of fields, an Impairment or a Clearing", change)
    if not fields and not clearing:
        raise RequestError("fields", "must name at least one field to change", {})
    if not _NAMES.issuperset(fields):
        unknown = [name for name in fields if name not in _NAMES]
        raise RequestError(unknown[0], f"is not a field; the fields are {', '.join(FIELDS)}", fields[unknown[0]])
    return (_UNIMPAIRED if clearing else impairment).evolve(**fields)
