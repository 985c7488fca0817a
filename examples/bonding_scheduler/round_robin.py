"""Smooth weighted round robin: which link the next datagram takes."""

from __future__ import annotations

from collections.abc import Mapping


def pick(standing: Mapping[str, float], weights: Mapping[str, float]) -> tuple[str, dict[str, float]]:
    """The link whose turn it is, and everybody's standing after it.

    As nginx's upstream balancing: everyone gains its weight, the one that stands highest is chosen and pays the sum
    of all. Over any stretch a link is chosen as often as its share says, to within the number of links, and
    the turns of a heavy one are spread among the others' instead of following each other. Weights may
    change between calls; a link without a standing begins at 0, and one without a weight is forgotten.
    """
    if not weights:
        raise ValueError("weights must name a link")
    raised = {name: standing.get(name, 0.0) + weight for name, weight in weights.items()}
    chosen = max(raised, key=raised.__getitem__)
    raised[chosen] -= sum(weights.values())
    return chosen, raised
