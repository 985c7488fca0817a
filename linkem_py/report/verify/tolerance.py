"""How far from what was asked is accepted. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import attrs

from linkem_py.errors import RequestError

_VALUE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(%|pp|ms)")


@attrs.frozen
class Tolerance:
    """A share of what is asked, or so much in its unit (ms, or percent of packets), whichever is more.

    `at_none` holds where nothing is asked, of which a share says nothing.
    """

    share: float = 0.0
    fixed: float = 0.0
    at_none: float = 0.0

    def of(self, asked: float) -> float:
        """The tolerance of a value, in its unit."""
        return max(self.share * abs(asked), self.fixed) or self.at_none

    def scaled(self, factor: float) -> Tolerance:
        """So many times as much."""
        return Tolerance(*(factor * value for value in attrs.astuple(self)))


#: What may be off, by quantity. Delays may in addition be as late as this machine is by itself.
TOLERANCES: Mapping[str, Tolerance] = {
    "delay": Tolerance(share=0.01),
    "jitter": Tolerance(share=0.05),
    "distribution": Tolerance(fixed=5.0),
    "loss": Tolerance(share=0.10, fixed=0.05, at_none=0.05),
    "bursts": Tolerance(share=0.10),
    "duplicates": Tolerance(share=0.10, fixed=0.1),
    "corruption": Tolerance(share=0.10, fixed=0.1),
    "reordering": Tolerance(share=0.10, fixed=0.1),
    "goodput": Tolerance(share=0.02),
    "schedule": Tolerance(fixed=5.0),
}
#: The unit of a fixed tolerance; none where only a share of what is asked makes sense.
UNITS = {
    "delay": "ms", "jitter": "ms", "distribution": "pp", "loss": "pp", "duplicates": "pp", "corruption": "pp",
    "reordering": "pp",
}  # fmt: skip
_ONLY_FIXED = ("distribution", "schedule")  # asked is none, and percent their unit


def parse(words: Iterable[str], *, factor: float = 1.0) -> dict[str, Tolerance]:
    """The tolerances with those given: ``loss=10%``, ``loss=0.2pp`` (percentage points), ``delay=2ms``.

    What is given replaces both forms. `factor` stretches what is not given. Raises `RequestError`.
    """
    found = {name: tolerance.scaled(factor) for name, tolerance in TOLERANCES.items()}
    for word in words:
        name, _, text = word.partition("=")
        if name not in TOLERANCES:
            raise RequestError("tolerance", f"must be one of {', '.join(TOLERANCES)}", name)
        match = _VALUE.fullmatch(text.strip())
        value = float(match[1]) if match else 0.0
        if not match or value <= 0 or match[2] not in ("%", UNITS.get(name)):
            unit = UNITS.get(name)
            rule = "must be a share above 0 such as 10%" + (f", or an amount such as 0.5{unit}" if unit else "")
            raise RequestError("tolerance", rule, word)
        none = TOLERANCES[name].at_none
        if match[2] != "%" or name in _ONLY_FIXED:
            found[name] = Tolerance(fixed=value, at_none=none)
        else:
            found[name] = Tolerance(share=value / 100, at_none=none)
    return found
