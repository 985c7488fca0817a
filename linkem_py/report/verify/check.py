"""One quantity of one link: asked, measured, and what that proves. Pure."""

from __future__ import annotations

import enum
import math
from typing import Any

import attrs

from linkem_py.model.topology import LinkKey, link_name


class Outcome(enum.StrEnum):
    """What a check says. ``undecided``: the sample is too small for either of the others."""

    WITHIN = "within"
    OUT = "out of tolerance"
    UNDECIDED = "undecided"
    TOLD = "not judged"


@attrs.frozen(kw_only=True)
class Check:
    """A quantity of a link.

    Attributes
    ----------
    quantity : ``delay``, ``jitter``, ``distribution``, ``loss``, ``bursts``, ``burst shape``, ``duplicates``,
        ``corruption``, ``reordering``, ``goodput``, ``schedule`` or ``worst second``
    unit : of the values: ``ms``, ``%``, ``kbit/s``, ``packets``; ``p`` for the probability of a test
    asked : what the link's setting comes to; for a distance from what is asked, 0
    measured : None if nothing was
    low, high : interval of 99 %
    tolerance : how far `measured` may be from `asked`
    samples : how many there were; `needed` how many the confidence needs
    outcome, note : the conclusion, and what one should know about it
    """

    quantity: str
    unit: str
    asked: float | None = None
    measured: float | None = None
    low: float | None = None
    high: float | None = None
    tolerance: float | None = None
    samples: int = 0
    needed: int | None = None
    outcome: Outcome = Outcome.UNDECIDED
    note: str = ""


def decide(
    *, asked: float, measured: float, tolerance: float, strict: tuple[float, float], samples: float, needed: float
) -> Outcome:
    """Whether a link is within its tolerance, by an interval of the confidence that is wanted.

    Any sample whose interval lies outside of the tolerance proves that the link does. Within it says
    a sample that is large enough only: then chance alone puts `measured` outside with one minus the
    confidence at most, if the link does as asked, and inside with half of that, if it is off by twice the tolerance.
    """
    low, high = strict
    if low > asked + tolerance or high < asked - tolerance:
        return Outcome.OUT
    if samples < needed:
        return Outcome.UNDECIDED
    return Outcome.WITHIN if abs(measured - asked) <= tolerance else Outcome.OUT


@attrs.frozen(kw_only=True)
class LinkChecks:
    """All that was checked on one direction of a link."""

    key: LinkKey
    checks: tuple[Check, ...]

    @property
    def name(self) -> str:
        """``a->b``, with the segment where it is not the default one."""
        return link_name(self.key).removeprefix("link ")

    def check(self, quantity: str) -> Check:
        """The check of a quantity; raises KeyError."""
        for check in self.checks:
            if check.quantity == quantity:
                return check
        raise KeyError(quantity)


@attrs.frozen(kw_only=True)
class Verification:
    """A topology verified.

    Attributes
    ----------
    confidence : of the intervals, and of the whole: so sure that no link that does as asked is called out of tolerance
    level : what each check needs for that: 1 - (1 - confidence) / number of checks (C. E. Bonferroni)
    allowance_ms : how late this machine is by itself, measured first; delays may be so much off
    floor_ms : its median delay without any impairment
    """

    topology: str
    release: str
    seed: int
    confidence: float
    level: float
    floor_ms: float
    allowance_ms: float
    duration_s: float
    links: tuple[LinkChecks, ...]
    notes: tuple[str, ...] = ()

    def link(self, source: str, destination: str, segment: str = "lan") -> LinkChecks:
        """The checks of one link. Raises KeyError."""
        for link in self.links:
            if link.key == (source, destination, segment):
                return link
        raise KeyError((source, destination, segment))

    def count(self, outcome: Outcome) -> int:
        """How many checks ended so."""
        return sum(check.outcome is outcome for link in self.links for check in link.checks)

    @property
    def ok(self) -> bool:
        """Whether all is within its tolerance, and proven so."""
        return not self.count(Outcome.OUT) and not self.count(Outcome.UNDECIDED)

    def as_json(self) -> dict[str, Any]:
        """All of it in what JSON knows."""
        return {
            **attrs.asdict(self, recurse=False, filter=lambda field, _: field.name not in ("links", "notes")),
            "notes": list(self.notes),
            "ok": self.ok,
            "links": [
                {
                    **dict(zip(("source", "destination", "segment"), link.key, strict=True)),
                    "checks": [_plain(check) for check in link.checks],
                }
                for link in self.links
            ],
        }


def _plain(check: Check) -> dict[str, Any]:
    fields = {**attrs.asdict(check), "outcome": str(check.outcome)}
    # JSON has no infinity.
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in fields.items()}
