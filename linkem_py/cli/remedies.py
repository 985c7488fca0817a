"""The parts of a kernel that networks are made of, what they are for, and the packages that bring them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import attrs


@attrs.frozen
class Piece:
    """One part of a kernel.

    Attributes
    ----------
    name : as in `Capabilities`
    module : the module that holds it
    option : of the kernel's configuration
    use : what it is for
    needed : no network runs without it
    """

    name: str
    module: str
    option: str
    use: str
    needed: bool = False


PIECES = (
    Piece("veth", "veth", "VETH", "cables between peers and hub", True),
    Piece("bridge", "bridge", "BRIDGE", "the hub", True),
    Piece("htb", "sch_htb", "NET_SCH_HTB", "rates; a queue for each destination", True),
    Piece("netem", "sch_netem", "NET_SCH_NETEM", "delay, loss, duplicates, reordering", True),
    Piece("bfifo", "", "NET_SCH_FIFO", "what waits for the rate", True),
    Piece("u32", "cls_u32", "NET_CLS_U32", "tells destinations apart", True),
    Piece("clsact", "sch_ingress", "NET_SCH_INGRESS", "partitions, isolated duplicates"),
    Piece("gact", "act_gact", "NET_ACT_GACT", 'partitions, unlinked="blocked"'),
    Piece("skbedit", "act_skbedit", "NET_ACT_SKBEDIT", "partitions"),
    Piece("mirred", "act_mirred", "NET_ACT_MIRRED", "isolated duplicates"),
    Piece("ifb", "ifb", "IFB", "isolated duplicates"),
    Piece("prio", "sch_prio", "NET_SCH_PRIO", 'classifier="prio"'),
    Piece("tbf", "sch_tbf", "NET_SCH_TBF", 'shaper="tbf"'),
    Piece("fq_codel", "sch_fq_codel", "NET_SCH_FQ_CODEL", 'queue="fq_codel"'),
    Piece("cake", "sch_cake", "NET_SCH_CAKE", 'queue="cake", shaper="cake"'),
    Piece("ipv6", "ipv6", "IPV6", "IPv6 between peers"),
    Piece("nat", "nft_nat", "NFT_NAT", "NAT in gateways (with the program nft)"),
)
BY_NAME = {piece.name: piece for piece in PIECES}

#: What a kernel can do beyond its parts: (name in `Capabilities`, use).
FEATURES = (
    ("seed", "losses that repeat (Linux 6.6)"),
    ("u32_mark", "partitions (CONFIG_CLS_U32_MARK)"),
    ("netem_64bit", "delays in steps of 1 ns, not 64"),
    ("mixed_duplicate", "duplicates beside other links without isolating them"),
)

DISTRIBUTIONS = ("debian", "ubuntu", "fedora", "arch")

# Debian's cloud kernels and Arch's have all of it in the one package. Ubuntu's generic kernel has it in
# linux-modules, those for clouds in linux-modules-extra. Fedora keeps netem apart (mod-extra.list.fedora).
_INSTALL = {
    "debian": "apt-get install linux-image-$(dpkg --print-architecture), and boot it",
    "ubuntu": "apt-get install linux-modules-extra-$(uname -r)",
    "fedora": "dnf install kernel-modules-$(uname -r)",
    "arch": "pacman -S linux, and boot it",
}
_FEDORA_EXTRA = "dnf install kernel-modules-extra-$(uname -r)"


def install(distribution: str, pieces: Iterable[str]) -> str:
    """The command that brings these parts of a distribution's own kernel; empty if the distribution is not known."""
    if distribution == "fedora" and "netem" in pieces:
        return _FEDORA_EXTRA
    return _INSTALL.get(distribution, "")


def installs(pieces: Iterable[str]) -> dict[str, str]:
    """`install` of every distribution."""
    names = tuple(pieces)
    return {distribution: install(distribution, names) for distribution in DISTRIBUTIONS}


def options(pieces: Iterable[str]) -> tuple[str, ...]:
    """What a kernel of one's own must be configured with to have these parts."""
    return tuple(f"CONFIG_{BY_NAME[name].option}" for name in pieces if name in BY_NAME)


def distribution_of(os_release: str) -> str:
    """The distribution that /etc/os-release tells of, or the one that it is like; empty if it is none of ours."""
    fields = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    words = [word for key in ("ID", "ID_LIKE") for word in fields.get(key, "").strip("\"'").lower().split()]
    # Those like Red Hat have Fedora's packages; Ubuntu is like Debian but has kernels of its own.
    words = ["fedora" if word in ("rhel", "centos") else word for word in words]
    return next((word for word in words if word in DISTRIBUTIONS), "")
