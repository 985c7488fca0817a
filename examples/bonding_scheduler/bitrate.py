"""The bitrate of the stream: down at once, up slowly."""

from __future__ import annotations

import attrs

#: Down to this share of what arrives (draft-ietf-rmcat-gcc-02, 5.5: beta), once more than so much of the stream
#: takes links that suffer. Below that, weights can still bring it elsewhere, and it goes up only if it is very little.
DOWN_TO, TOO_MUCH, LITTLE = 0.85, 0.5, 0.1
#: Up per second, and before the first step down, which is a slow start.
UP_PER_S, FIRST_UP_PER_S = 1.08, 2.5
#: Never beyond so many times what arrives (as there): who cannot send so much learns nothing by asking for it.
BEYOND_DELIVERED = 1.5
#: After a step down nothing happens until its effect can be seen: a round trip, and the memory of the estimates.
PAUSE_S = 1.0


@attrs.frozen(kw_only=True)
class Bitrate:
    """A bitrate in kbit/s between two bounds; `after` makes the next."""

    kbit: float = attrs.field()
    least_kbit: float = attrs.field(validator=attrs.validators.gt(0))
    most_kbit: float
    stepped_down: bool = False
    pause_until: float = float("-inf")

    @kbit.validator
    def _check(self, attribute: attrs.Attribute[float], value: float) -> None:
        if not self.least_kbit <= value <= self.most_kbit:
            raise ValueError(f"kbit must be between {self.least_kbit:g} and {self.most_kbit:g}: {value:g}")

    def after(self, passed_s: float, *, now: float, strained: float, delivered_kbit: float, rtt_s: float) -> Bitrate:
        """The bitrate after some time in which the share `strained` of the stream took links that suffer.

        `rtt_s` is the longest round trip of a link.
        """
        if now < self.pause_until:
            return self
        if strained > TOO_MUCH:
            kbit = DOWN_TO * min(self.kbit, delivered_kbit)
            return attrs.evolve(
                self, kbit=max(kbit, self.least_kbit), stepped_down=True, pause_until=now + PAUSE_S + rtt_s
            )
        if strained > LITTLE:
            return self
        up: float = (UP_PER_S if self.stepped_down else FIRST_UP_PER_S) ** passed_s
        kbit = max(self.kbit, min(self.kbit * up, BEYOND_DELIVERED * delivered_kbit))
        return attrs.evolve(self, kbit=min(kbit, self.most_kbit))
