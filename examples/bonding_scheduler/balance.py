"""The whole of the sender's mind: what it believes of each link, the weights, and the bitrate."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from examples.bonding_scheduler.bitrate import Bitrate
from examples.bonding_scheduler.estimate import LinkEstimate
from examples.bonding_scheduler.weights import Capacity, Strain, strain_of, weights_of
from examples.bonding_scheduler.wire import Report


@attrs.frozen(kw_only=True)
class Balance:
    """A state of it. `hear` takes a report in, `after` decides anew; both make the next, neither has a clock."""

    bitrate: Bitrate
    budget_s: float
    capacities: dict[str, Capacity]
    estimates: dict[str, LinkEstimate]
    weights: dict[str, float]
    strains: dict[str, Strain]

    @classmethod
    def begin(cls, links: Iterable[str], bitrate: Bitrate, *, budget_s: float, now: float) -> Balance:
        """Nothing is known: every link gets as much."""
        names = list(links)
        if not names:
            raise ValueError("links must name at least one")
        return cls(
            bitrate=bitrate,
            budget_s=budget_s,
            capacities={name: Capacity(kbit=bitrate.kbit / len(names)) for name in names},
            estimates={name: LinkEstimate(arrived_at=now) for name in names},
            weights={name: 1 / len(names) for name in names},
            strains=dict.fromkeys(names, Strain.NONE),
        )

    def hear(self, link: str, report: Report, now: float) -> Balance:
        return attrs.evolve(self, estimates={**self.estimates, link: self.estimates[link].hear(report, now)})

    def after(self, passed_s: float, now: float) -> Balance:
        """What is decided some time after the last decision, with the reports heard meanwhile."""
        known = self.estimates
        strains = {name: strain_of(estimate, now) for name, estimate in known.items()}
        capacities = {
            name: capacity.after(passed_s, known[name], strains[name]) for name, capacity in self.capacities.items()
        }
        bitrate = self.bitrate.after(
            passed_s,
            now=now,
            strained=sum(weight for name, weight in self.weights.items() if strains[name].is_much),
            delivered_kbit=sum(estimate.delivered_kbit for estimate in known.values()),
            rtt_s=max(estimate.srtt_s or 0.0 for estimate in known.values()),
        )
        weights = weights_of(capacities, known, budget_s=self.budget_s)
        return attrs.evolve(self, bitrate=bitrate, capacities=capacities, weights=weights, strains=strains)
