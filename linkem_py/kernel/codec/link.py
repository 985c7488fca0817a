"""Messages about devices: bridge, veth pair, ifb, port flags, up and down.

An interface index can be chosen at creation, of both ends of a pair, and then later messages of the
same batch can name a device that does not exist yet. A master can go into the creation message; the
flags of a bridge port cannot (the kernel reads them only for a device that is a port already), so
`port_message` follows. Devices have one queue where the kernel would make one per CPU: with two,
a pair takes three times as long. Bridges have no default VLAN: a kernel that can filter VLANs would
keep two forwarding entries for each.
"""

from __future__ import annotations

import struct

from linkem_py.kernel.codec.attributes import attribute, nested, text, u8, u32
from linkem_py.kernel.codec.tc import CREATE_FLAGS, NLM_F_DUMP, NLM_F_REQUEST
from linkem_py.plan.objects import Bridge, Ifb, Veth

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
IFF_UP = 1
AF_BRIDGE = 7

IFLA_ADDRESS = 1
IFLA_IFNAME = 3
IFLA_MTU = 4
IFLA_MASTER = 10
IFLA_TXQLEN = 13
IFLA_LINKINFO = 18
IFLA_NET_NS_FD = 28
IFLA_EXT_MASK = 29
IFLA_NUM_TX_QUEUES = 31
IFLA_NUM_RX_QUEUES = 32
IFLA_INFO_KIND = 1
IFLA_INFO_DATA = 2
IFLA_INFO_SLAVE_KIND = 4
IFLA_INFO_SLAVE_DATA = 5
VETH_INFO_PEER = 1
IFLA_BR_FORWARD_DELAY = 1
IFLA_BR_STP_STATE = 5
IFLA_BR_MCAST_SNOOPING = 23
IFLA_BR_VLAN_DEFAULT_PVID = 39
IFLA_BRPORT_LEARNING = 8
IFLA_BRPORT_UNICAST_FLOOD = 9
RTEXT_FILTER_SKIP_STATS = 1 << 3

# nlmsghdr, then ifinfomsg (family, type, index, flags, mask of flags to change)
_HEAD = struct.Struct("=IHH8xBxHiII")
_IFINFO = struct.Struct("=BxHiII")
_BRIDGE_DATA = (
    u32(IFLA_BR_FORWARD_DELAY, 0)
    + u32(IFLA_BR_STP_STATE, 0)
    + u8(IFLA_BR_MCAST_SNOOPING, 0)
    + attribute(IFLA_BR_VLAN_DEFAULT_PVID, b"\0\0")
)
_ONE_QUEUE = u32(IFLA_NUM_TX_QUEUES, 1) + u32(IFLA_NUM_RX_QUEUES, 1)


def _message(kind: int, flags: int, ifindex: int, state: int, mask: int, *attributes: bytes) -> bytes:
    payload = b"".join(attributes)
    return _HEAD.pack(32 + len(payload), kind, flags, 0, 0, ifindex, state, mask) + payload


def _mac(text_form: str) -> bytes:
    return attribute(IFLA_ADDRESS, bytes.fromhex(text_form.replace(":", "")))


def bridge_message(bridge: Bridge, *, index: int = 0) -> bytes:
    """Create a bridge, up: no STP, forward delay, multicast snooping, VLAN. `index` 0: any."""
    info = nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "bridge"), attribute(IFLA_INFO_DATA, _BRIDGE_DATA))
    return _message(
        RTM_NEWLINK, CREATE_FLAGS, index, IFF_UP, IFF_UP,
        text(IFLA_IFNAME, bridge.name), u32(IFLA_MTU, bridge.mtu), info,
    )  # fmt: skip


def ifb_message(ifb: Ifb, *, index: int = 0) -> bytes:
    """Create an ifb device, up. `index` 0: any."""
    room = (u32(IFLA_TXQLEN, ifb.queue_packets),) if ifb.queue_packets else ()
    return _message(
        RTM_NEWLINK, CREATE_FLAGS, index, IFF_UP, IFF_UP,
        text(IFLA_IFNAME, ifb.name), u32(IFLA_MTU, ifb.mtu), *room, _ONE_QUEUE,
        nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "ifb")),
    )  # fmt: skip


def veth_message(
    veth: Veth, *, peer_ns_fd: int | None, master_ifindex: int = 0, index: int = 0, peer_index: int = 0
) -> bytes:
    """Create a pair, down: one end in the socket's namespace, the other in that of `peer_ns_fd`.

    `peer_ns_fd` None: both in the socket's. `master_ifindex` is the bridge of the first end (0:
    none); the kernel ignores a master for the peer. A `peer_index` needs an `index` beside it.
    """
    peer = [text(IFLA_IFNAME, veth.peer_name), _mac(veth.peer_mac), u32(IFLA_MTU, veth.mtu), _ONE_QUEUE]
    if peer_ns_fd is not None:
        peer.append(u32(IFLA_NET_NS_FD, peer_ns_fd))
    peer_info = attribute(VETH_INFO_PEER, _IFINFO.pack(0, 0, peer_index, 0, 0) + b"".join(peer))
    own = [text(IFLA_IFNAME, veth.name), _mac(veth.mac), u32(IFLA_MTU, veth.mtu), _ONE_QUEUE]
    if master_ifindex:
        own.append(u32(IFLA_MASTER, master_ifindex))
    info = nested(IFLA_LINKINFO, text(IFLA_INFO_KIND, "veth"), attribute(IFLA_INFO_DATA, peer_info))
    return _message(RTM_NEWLINK, CREATE_FLAGS, index, 0, 0, *own, info)


def master_message(ifindex: int, master_ifindex: int) -> bytes:
    """Make a device a port of a bridge (0: of none)."""
    return _message(RTM_NEWLINK, NLM_F_REQUEST, ifindex, 0, 0, u32(IFLA_MASTER, master_ifindex))


def port_message(ifindex: int, *, flood: bool, learning: bool = False) -> bytes:
    """Set the flags of a bridge port: unicast flooding, learning."""
    data = u8(IFLA_BRPORT_LEARNING, learning) + u8(IFLA_BRPORT_UNICAST_FLOOD, flood)
    info = nested(IFLA_LINKINFO, text(IFLA_INFO_SLAVE_KIND, "bridge"), attribute(IFLA_INFO_SLAVE_DATA, data))
    return _message(RTM_NEWLINK, NLM_F_REQUEST, ifindex, 0, 0, info)


def up_message(ifindex: int, *, up: bool = True) -> bytes:
    """Set a device administratively up or down."""
    return _message(RTM_NEWLINK, NLM_F_REQUEST, ifindex, IFF_UP if up else 0, IFF_UP)


def mtu_message(ifindex: int, mtu: int) -> bytes:
    """Set the MTU, in bytes."""
    return _message(RTM_NEWLINK, NLM_F_REQUEST, ifindex, 0, 0, u32(IFLA_MTU, mtu))


def link_delete_message(device: int | str) -> bytes:
    """Delete a device, by interface index or by name; of a veth both ends go."""
    if isinstance(device, int):
        return _message(RTM_DELLINK, NLM_F_REQUEST, device, 0, 0)
    return _message(RTM_DELLINK, NLM_F_REQUEST, 0, 0, 0, text(IFLA_IFNAME, device))


def link_get_message(device: int | str) -> bytes:
    """Request for one device, by interface index or by name; for `NetlinkSocket.request`."""
    if isinstance(device, int):
        return _message(RTM_GETLINK, NLM_F_REQUEST, device, 0, 0)
    return _message(RTM_GETLINK, NLM_F_REQUEST, 0, 0, 0, text(IFLA_IFNAME, device))


def link_dump_message(*, statistics: bool = True) -> bytes:
    """Dump of all devices."""
    mask = 0 if statistics else RTEXT_FILTER_SKIP_STATS
    return _message(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, 0, 0, 0, u32(IFLA_EXT_MASK, mask))
