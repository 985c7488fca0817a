"""A number that wanders around its mean."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import attrs

from linkem_py.errors import TopologyError
from linkem_py.model.impairment import Impairment
from linkem_py.model.rules import Number
from linkem_py.model.schedule.change import ScheduledChange
from linkem_py.model.schedule.fields import WHOLE, check_numeric, checked_value, difference, needed
from linkem_py.model.schedule.randomness import normals
from linkem_py.model.schedule.schedule import Schedule

SPREAD = 0.2  # standard deviation, in means, if none is given
FLOOR = 0.1  # in means; four and a half of those deviations down
CEILING = 6  # in standard deviations above the mean: one tick in 10^9


@attrs.frozen(init=False)
class OrnsteinUhlenbeck(Schedule):
    """An Ornstein-Uhlenbeck process over one numeric field, by default the rate, a value every tick.

    The exact step, so that the tick does not matter to the statistics (D. Gillespie, "Exact numerical
    simulation of the Ornstein-Uhlenbeck process and its integral", 1996), with d = e^(-tick/tau):

        x' = d x + (1 - d) mean + sd sqrt(1 - d^2) N(0, 1)

    It starts in its stationary distribution: mean `mean`, standard deviation `sd`, autocorrelation
    e^(-lag/tau). The value set is x kept between floor and ceiling; x itself goes on beyond them, so
    that what lies between keeps its statistics.

    Parameters
    ----------
    mean : in the field's unit; `mean_kbit`, `sd_kbit` and `floor_kbit` are other names, for a rate
    tau_s : how long it remembers
    sd : standard deviation; a fifth of the mean if not given
    floor : least value set; a tenth of the mean if not given. No link starves
    tick_ms : a value every so often
    field : any field of `Impairment` that is a number, or one of ``loss.p_pct``, ``loss.r_pct``,
        ``loss.bad_loss_pct``, ``loss.good_loss_pct``. Whole numbers are rounded
    ceiling : greatest value set; queues are sized for it. Six `sd` above the mean if not given (but at
        most 100 for a percentage)

    Raises `TopologyError` naming field, rule and value.
    """

    mean: float
    tau_s: float = attrs.field(validator=needed(Number(above=0, most=1e9)))
    sd: float
    floor: float
    tick_ms: float = attrs.field(validator=needed(Number(least=1, most=3_600_000)))
    field: str = attrs.field(validator=lambda _self, _attribute, value: check_numeric(value))
    ceiling: float

    def __init__(
        self,
        mean: float | None = None,
        tau_s: float = 1.0,
        sd: float | None = None,
        floor: float | None = None,
        tick_ms: float = 200.0,
        *,
        field: str = "rate_kbit",
        ceiling: float | None = None,
        mean_kbit: float | None = None,
        sd_kbit: float | None = None,
        floor_kbit: float | None = None,
    ) -> None:
        check_numeric(field)
        mean = _one_of("mean", mean, mean_kbit, field)
        if mean is None:
            raise TopologyError("mean", "must be given", None)
        sd = _one_of("sd", sd, sd_kbit, field, SPREAD * abs(mean))
        floor = _one_of("floor", floor, floor_kbit, field, FLOOR * mean)
        if ceiling is None:
            ceiling = mean + CEILING * sd
            ceiling = min(ceiling, max(mean, 100.0)) if field.endswith("_pct") else ceiling
        self.__attrs_init__(mean, tau_s, sd, floor, tick_ms, field, ceiling)

    def __attrs_post_init__(self) -> None:
        for name in ("mean", "floor", "ceiling"):
            _check_value(self.field, name, getattr(self, name))
        if not self.sd >= 0:
            raise TopologyError("sd", "must not be below 0", self.sd)
        if self.floor > self.mean:
            raise TopologyError("floor", f"must not be above the mean ({self.mean:g})", self.floor)
        if self.ceiling < self.mean:
            raise TopologyError("ceiling", f"must not be below the mean ({self.mean:g})", self.ceiling)

    @property
    def names(self) -> frozenset[str]:
        """The one field."""
        return frozenset({self.field})

    @property
    def coefficients(self) -> tuple[float, float, float]:
        """The step: x' = decay x + pull + kick N(0, 1)."""
        decay = math.exp(-self.tick_ms / 1000 / self.tau_s)
        spread = math.sqrt(-math.expm1(-2 * self.tick_ms / 1000 / self.tau_s))
        return decay, self.mean * (1 - decay), self.sd * spread

    def run(self, seed: int, under: Impairment) -> Iterator[ScheduledChange]:
        """A value every tick, without end."""
        decay, pull, kick = self.coefficients
        whole = self.field in WHOLE
        noise = normals(seed)
        x = self.mean + self.sd * next(noise)
        tick = 0
        while True:
            value = min(max(x, self.floor), self.ceiling)
            yield ScheduledChange(tick * self.tick_ms / 1000, {self.field: round(value) if whole else value})
            x = decay * x + pull + kick * next(noise)
            tick += 1

    def extremes(self, under: Impairment) -> Iterator[Impairment]:
        """Floor, mean and ceiling, and a value just above the floor: 0 takes along what needs more."""
        above = self.floor + 1e-9 * (self.mean - self.floor)
        for value in (above, self.mean, self.ceiling):
            yield self._at(value).applied_to(under)
        lowest = self._at(self.floor).applied_to(under)
        after, alone = self._at(self.mean).applied_to(lowest), self._at(self.mean).applied_to(under)
        if after != alone:
            rule = f"must be above it, or {', '.join(difference(alone, after))} of the link would be gone for good"
            raise TopologyError("floor", rule, self.floor)
        yield lowest

    def _at(self, value: float) -> ScheduledChange:
        return ScheduledChange(0.0, {self.field: round(value) if self.field in WHOLE else value})


def _one_of(name: str, plain: Any, kbit: Any, field: str, default: float | None = None) -> Any:
    """A parameter by either of its names, checked to be a finite number."""
    if kbit is not None and field != "rate_kbit":
        raise TopologyError(f"{name}_kbit", f"must be given as {name}: the field is {field}", kbit)
    if plain is not None and kbit is not None:
        raise TopologyError(f"{name}_kbit", f"must not stand beside {name} ({plain})", kbit)
    given = kbit if plain is None else plain
    if given is not None:
        _check_finite(name, given)
    return default if given is None else given


def _check_finite(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise TopologyError(name, "must be a finite number", value)


def _check_value(field: str, name: str, value: float) -> None:
    """Raise `TopologyError` unless the field can have that value."""
    _check_finite(name, value)
    try:
        checked_value(field, round(value) if field in WHOLE else value)
    except TopologyError as error:
        raise TopologyError(name, f"of {field} {error.rule}", value) from None
