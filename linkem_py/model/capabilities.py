"""What a kernel can do, as found by trying."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Capabilities:
    """What the kernel at hand can do. `kernel.probe.probe()` finds out; the default is everything.

    Attributes
    ----------
    release : the kernel's own name for itself
    privileged : network namespaces can be made and configured
    veth, bridge, ifb : kinds of device
    htb, prio, netem, tbf, bfifo, fq_codel, cake, clsact : qdiscs
    u32, gact, mirred, skbedit : the classifier and its actions
    u32_mark : u32 compares packet marks (CONFIG_CLS_U32_MARK); a kernel that cannot ignores them
    seed : netem takes a seed (TCA_NETEM_PRNG_SEED, Linux 6.6)
    netem_64bit : netem takes delays in nanoseconds (TCA_NETEM_LATENCY64)
    mixed_duplicate : a duplicating netem may stand beside another netem in one device's tree
    ipv6 : the kernel speaks IPv6
    nat : nftables translate addresses (and the program nft is there)
    """

    release: str = ""
    privileged: bool = True
    veth: bool = True
    bridge: bool = True
    ifb: bool = True
    htb: bool = True
    prio: bool = True
    netem: bool = True
    tbf: bool = True
    bfifo: bool = True
    fq_codel: bool = True
    cake: bool = True
    clsact: bool = True
    u32: bool = True
    u32_mark: bool = True
    gact: bool = True
    mirred: bool = True
    skbedit: bool = True
    seed: bool = True
    netem_64bit: bool = True
    mixed_duplicate: bool = True
    ipv6: bool = True
    nat: bool = True

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of what a network needs and this kernel lacks."""
        return tuple(name for name in NEEDED if not getattr(self, name))


NEEDED = ("privileged", "veth", "bridge", "htb", "netem", "u32", "bfifo")
EVERYTHING = Capabilities()
