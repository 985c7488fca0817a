"""Random options of qdiscs, classes and filters."""

from __future__ import annotations

import struct

from hypothesis import strategies as st

from linkem_py.plan.objects import (
    U32,
    Drop,
    FourStateLoss,
    GilbertElliottLoss,
    HtbClass,
    Mark,
    Mirror,
    Netem,
    NetemSlot,
    Redirect,
    U32Key,
)

u32 = st.integers(0, 2**32 - 1)
s32 = st.integers(-(2**31), 2**31 - 1)
s64 = st.integers(0, 2**63 - 1)
tables = st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=64).map(
    lambda values: struct.pack(f"={len(values)}h", *values)
)

rooms = st.integers(1, 2**31 - 1)
times = st.integers(1, 2**40)
slots = st.builds(NetemSlot, times, st.just(0), rooms, rooms) | st.builds(
    NetemSlot, times, times, rooms, rooms, st.just(b"") | tables
)

netems = st.builds(
    Netem,
    limit_packets=u32,
    latency_ns=s64,
    jitter_ns=s64,
    delay_correlation=u32,
    table=st.just(b"") | tables,
    loss=u32,
    loss_correlation=u32,
    loss_model=st.none()
    | st.builds(GilbertElliottLoss, u32, u32, u32, u32)
    | st.builds(FourStateLoss, u32, u32, u32, u32, u32),
    duplicate=u32,
    duplicate_correlation=u32,
    corrupt=u32,
    corrupt_correlation=u32,
    reorder=u32,
    reorder_correlation=u32,
    gap=st.integers(1, 2**32 - 1),
    ecn=st.booleans(),
    rate=st.integers(0, 2**64 - 1) | st.sampled_from([2**32 - 2, 2**32 - 1, 2**32]),
    packet_overhead=s32,
    cell_size=u32,
    cell_overhead=s32,
    slot=st.none() | slots,
    seed=st.none() | st.integers(0, 2**64 - 1),
)

rates = st.integers(8_000, 2**40)  # below, a megabyte takes more ticks than 32 bits hold
htb_classes = st.builds(
    HtbClass,
    rate=rates,
    ceil=rates,
    burst=st.integers(0, 10**6),
    cburst=st.integers(0, 10**6),
    quantum=st.integers(1, 10**6),
    prio=st.integers(0, 7),
)

devices = st.sampled_from(["ifb0", "ifb1", "eth0"])
actions = st.just(Drop()) | st.builds(Mark, u32) | st.builds(Redirect, devices) | st.builds(Mirror, devices)
u32_entries = st.builds(
    U32,
    keys=st.lists(st.builds(U32Key, u32, u32, s32), max_size=12).map(tuple),
    classid=u32,
    action=st.none() | actions,
    link=u32,
    hash_mask=u32,
    hash_offset=st.integers(-(2**15), 2**15 - 1),
    mark=st.none() | st.tuples(u32, u32),
)
