"""How long to wait before the next try."""

from __future__ import annotations

from random import Random

import attrs


@attrs.frozen
class Backoff:
    """Exponential backoff with full jitter: many clients of one broker do not come back in step.

    From M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.

    Attributes
    ----------
    first_s : bound of the first wait; doubles with every try
    most_s : bound that it does not pass
    """

    first_s: float = attrs.field(default=0.1, validator=attrs.validators.gt(0))
    most_s: float = attrs.field(default=10.0, validator=attrs.validators.gt(0))

    def bound_s(self, attempt: int) -> float:
        """The longest wait after so many failed tries, counted from 0."""
        # The exponent is bounded, so that a night without a broker does not overflow.
        return min(self.most_s, self.first_s * 2.0 ** min(attempt, 60))

    def wait_s(self, attempt: int, random: Random) -> float:
        """How long to wait after so many failed tries."""
        return random.uniform(0, self.bound_s(attempt))
