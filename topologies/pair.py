"""Two peers, ``a`` and ``b``, with a link each way."""

from __future__ import annotations

from linkem_py import Impairment, Topology


def topology(
    delay_ms: float = 20.0,
    jitter_ms: float = 0.0,
    loss_pct: float = 0.0,
    rate_kbit: float | None = None,
    back_delay_ms: float | None = None,
    back_rate_kbit: float | None = None,
) -> Topology:
    """The numbers hold in each direction; `back_delay_ms` and `back_rate_kbit` are for b to a alone."""
    there = Impairment(delay_ms=delay_ms, jitter_ms=jitter_ms, loss_pct=loss_pct, rate_kbit=rate_kbit)
    back = there.evolve(
        delay_ms=delay_ms if back_delay_ms is None else back_delay_ms,
        rate_kbit=rate_kbit if back_rate_kbit is None else back_rate_kbit,
    )
    network = Topology("pair")
    network.add_peer("a")
    network.add_peer("b")
    network.connect("a", "b", there, back=back)
    return network
