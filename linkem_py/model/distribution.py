"""Shapes of jitter: the four that netem knows, and tables made from samples."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

import attrs
import numpy as np

from linkem_py.errors import TopologyError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

DistributionName = Literal["uniform", "normal", "pareto", "paretonormal"]
NAMES: tuple[DistributionName, ...] = ("uniform", "normal", "pareto", "paretonormal")

SCALE = 8192  # NETEM_DIST_SCALE: the table's value for one jitter
MOST = 16384  # NETEM_DIST_MAX: entries that the kernel takes
SIZE = 4096  # entries that we make, as iproute2's tables have
LEAST, GREATEST = -32768, 32767  # 16 bits, signed


def _whole_numbers(values: Iterable[SupportsIndex]) -> tuple[int, ...]:
    try:
        return tuple(operator.index(value) for value in values)
    except TypeError:
        raise TopologyError("distribution", "must be made of whole numbers", values) from None


@attrs.frozen(repr=False)
class DelayTable:
    """An inverse distribution of delay, in units of jitter / 8192.

    The kernel draws an entry at random and delays by ``delay + jitter * entry / 8192``
    (``tabledist`` in sch_netem.c). So a table of mean 0 and standard deviation 8192 keeps the
    link's `delay_ms` as its mean and `jitter_ms` as its standard deviation.

    Parameters
    ----------
    values : 2 to 16,384 whole numbers from -32,768 to 32,767
    name : for messages and reports
    """

    values: tuple[int, ...] = attrs.field(converter=_whole_numbers)
    name: str = "table"

    @values.validator
    def _check(self, _attribute: Any, values: tuple[int, ...]) -> None:
        if not 2 <= len(values) <= MOST:
            raise TopologyError("distribution", f"must have 2 to {MOST} entries", len(values))
        for worst in (min(values), max(values)):
            if not LEAST <= worst <= GREATEST:
                raise TopologyError("distribution", f"entries must be between {LEAST} and {GREATEST}", worst)

    @classmethod
    def from_samples(cls, samples: ArrayLike, *, name: str = "samples", size: int = SIZE) -> DelayTable:
        """The table whose shape is that of `samples` (delays in any unit, at least 2 of them).

        Samples are centred and scaled to a standard deviation of one jitter, then `size`
        quantiles are taken. Only the shape is kept: the link's `delay_ms` and `jitter_ms` say
        where the mean is and how large one standard deviation. Values beyond four standard
        deviations are clipped, as the table's 16 bits demand; the rest is stretched to make up for it.
        """
        data = np.asarray(samples, dtype=float).ravel()
        if data.size < 2:
            raise TopologyError("samples", "must be at least 2", int(data.size))
        if not np.all(np.isfinite(data)):
            raise TopologyError("samples", "must be finite numbers", float(data[~np.isfinite(data)][0]))
        if not data.std() > 0:
            raise TopologyError("samples", "must not all be equal", float(data[0]))
        if not 2 <= size <= MOST:
            raise TopologyError("size", f"must be between 2 and {MOST}", size)
        quantiles = np.quantile(data, (np.arange(size) + 0.5) / size)
        if not quantiles.std() > 0:
            raise TopologyError(
                "samples", f"must not all be equal but for fewer than one in {size}", float(quantiles[0])
            )
        return cls(_entries(quantiles), name)

    @property
    def mean(self) -> float:
        """Mean in units of jitter; 0 keeps the link's delay as its mean."""
        return float(np.mean(self.values)) / SCALE

    @property
    def spread(self) -> float:
        """Standard deviation in units of jitter; 1 keeps the link's jitter as its deviation."""
        return float(np.std(self.values)) / SCALE

    def packed(self) -> bytes:
        """The entries as the kernel wants them: 16-bit signed, native order."""
        return np.asarray(self.values, dtype=np.int16).tobytes()

    def __repr__(self) -> str:
        return f"DelayTable({self.name!r}, {len(self.values)} entries, mean {self.mean:.3g}, spread {self.spread:.3g})"


Distribution = DistributionName | DelayTable


def check_distribution(_instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    """A name or a `DelayTable`, as an attrs validator."""
    if isinstance(value, DelayTable) or (isinstance(value, str) and value in NAMES):
        return
    raise TopologyError(attribute.name, f"must be one of {', '.join(NAMES)}, or a DelayTable", value)


def _entries(shape: np.ndarray[Any, np.dtype[np.float64]]) -> list[int]:
    """A shape as entries of a table, with mean 0 and a standard deviation of one jitter.

    Clipping a tail moves both, and setting them right moves what is clipped: hence several times.
    """
    for _ in range(16):
        shape = np.clip((shape - shape.mean()) / shape.std(), LEAST / SCALE, GREATEST / SCALE)
    return [int(value) for value in np.rint(shape * SCALE)]


def _normal() -> np.ndarray[Any, np.dtype[np.float64]]:
    # The quantiles of the normal distribution by inverting its distribution function, which
    # numpy lacks, on a grid that is fine against the table's resolution.
    from statistics import NormalDist

    inverse = NormalDist().inv_cdf
    return np.array([inverse((i + 0.5) / SIZE) for i in range(SIZE)])


def _pareto() -> np.ndarray[Any, np.dtype[np.float64]]:
    # A Pareto distribution with exponent 3 (as maketable's pareto.c in iproute2), centred and
    # scaled to unit deviation: mean a/(a-1) = 1.5, variance a/((a-1)^2 (a-2)) = 0.75.
    share = (np.arange(SIZE) + 0.5) / SIZE
    return np.asarray(((1 - share) ** (-1 / 3) - 1.5) / np.sqrt(0.75))


def _named(name: str) -> DelayTable | None:
    if name == "uniform":
        return None
    if name == "normal":
        shape = _normal()
    elif name == "pareto":
        shape = _pareto()
    else:
        # A quarter normal and three quarters Pareto, as iproute2's paretonormal.c mixes them;
        # both sorted alike, so that the mix is again an inverse distribution.
        shape = 0.25 * _normal() + 0.75 * _pareto()
    return DelayTable(_entries(shape), name)


_TABLES: dict[str, DelayTable | None] = {}


def table(distribution: Distribution) -> DelayTable | None:
    """The table of a distribution; None for ``uniform``, which the kernel draws by itself."""
    if isinstance(distribution, DelayTable):
        return distribution
    if distribution not in _TABLES:
        _TABLES[distribution] = _named(distribution)
    return _TABLES[distribution]


def spread_in_jitters(distribution: Distribution) -> float:
    """Standard deviation of the delay in units of `jitter_ms`.

    Uniform over [-jitter, +jitter] has 1/sqrt(3); the tables have 1 (or what the user's has).
    """
    shape = table(distribution)
    return 3**-0.5 if shape is None else shape.spread
