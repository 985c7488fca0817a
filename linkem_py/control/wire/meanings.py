"""What each field of the wire means, with its unit, in a sentence: for the schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from linkem_py.model import FourState, GilbertElliott, Slot

FIELDS: Mapping[str, str] = {
    "delay_ms": "One-way delay in milliseconds.",
    "jitter_ms": "How far the delay varies, in milliseconds; needs delay_ms and must not be above it.",
    "delay_correlation_pct": "Correlation of one packet's jitter with the one's before, in percent; needs jitter_ms.",
    "distribution": "Shape of the jitter; needs jitter_ms. Up to jitter_ms more or less if uniform, else jitter_ms is "
    "its standard deviation.",
    "keep_order": "Packets never overtake each other; must not stand beside reorder_pct.",
    "slot": "Packets wait for scheduling slots and leave in bursts, as a radio cell sends them.",
    "loss_pct": "Packets lost, in percent; takes the place of loss.",
    "loss_correlation_pct": "Correlation of one packet's loss with the one's before, in percent; needs loss_pct.",
    "kernel_loss_correlation": "Correlate losses in netem's own way, which loses far less than asked; needs "
    "loss_correlation_pct.",
    "loss": "A loss model with a memory; takes the place of loss_pct.",
    "duplicate_pct": "Packets sent twice, in percent.",
    "duplicate_correlation_pct": "Correlation of one duplication with the one before, in percent; needs duplicate_pct.",
    "corrupt_pct": "Packets with one bit flipped, in percent.",
    "corrupt_correlation_pct": "Correlation of one corruption with the one before, in percent; needs corrupt_pct.",
    "reorder_pct": "Packets sent at once, past those that wait their delay, in percent; needs delay_ms.",
    "reorder_correlation_pct": "Correlation of one reordering with the one before, in percent; needs reorder_pct.",
    "reorder_gap": "Only every so many-th packet may be sent at once; needs reorder_pct.",
    "ecn": "Mark packets that can be marked instead of losing them; needs a loss, or a queue that marks.",
    "rate_kbit": "Rate in 1000 bit/s of Ethernet frames without their check sequence; null is unlimited.",
    "burst_kb": "What may pass at once after a pause, in 1000 bytes; needs rate_kbit.",
    "queue_ms": "How much waits for the rate, in milliseconds at that rate; needs rate_kbit; takes the place of "
    "queue_packets.",
    "queue_packets": "How much waits for the rate, in packets; needs rate_kbit; takes the place of queue_ms.",
    "queue": "What waits for the rate: a fifo, fq_codel or cake; needs rate_kbit. cake sizes itself: neither queue_ms "
    "nor queue_packets may stand beside it.",
    "shaper": "What keeps the rate; needs rate_kbit. tbf: without queue_packets; netem: before the delay, without "
    "burst_kb; cake: queue and all.",
    "packet_overhead": "Bytes that each packet counts for besides its own; needs the shaper netem.",
    "cell_size": "Bytes of the cells that packets are sent in, 48 for ATM; needs the shaper netem.",
    "cell_overhead": "Bytes that each cell counts for besides its own, 5 for ATM; needs cell_size.",
    "mtu": "Greatest IP packet towards the destination, in bytes; larger ones are sent in fragments. IPv6 has at least "
    "1280.",
    "seed": "Makes netem's random numbers repeatable (64 bits).",
}

PARAMETERS: Mapping[type[Any], Mapping[str, str]] = {
    GilbertElliott: {
        "p_pct": "From the good state to the bad one, percent per packet.",
        "r_pct": "From the bad state to the good one, percent per packet; above 0 unless p_pct is 0.",
        "bad_loss_pct": "Loss in the bad state, in percent.",
        "good_loss_pct": "Loss in the good state, in percent.",
    },
    FourState: {
        "p13_pct": "From received in a gap to lost in a burst, percent per packet; with p14_pct at most 100.",
        "p31_pct": "From lost in a burst to received in a gap; null makes the losses independent.",
        "p32_pct": "From lost in a burst to received within it; with p31_pct at most 100.",
        "p23_pct": "From received within a burst to lost in it.",
        "p14_pct": "From received in a gap to lost singly.",
    },
    Slot: {
        "every_ms": "From a packet that finds nothing waiting to the slot that it leaves in, in milliseconds.",
        "jitter_ms": "How far that time varies, in milliseconds; must not be above every_ms.",
        "distribution": "Shape of the jitter, as that of a link's delay; needs jitter_ms.",
        "packets": "Packets that a slot has room for; null is all that are due.",
        "kb": "What a slot has room for in 1000 bytes; null is all that is due.",
    },
}

COUNTS: Mapping[str, str] = {
    "packets": "Packets that left the link towards its destination since it was made, duplicates included.",
    "bytes": "Their bytes, as Ethernet frames without their check sequence.",
    "drops": "Packets lost in the link, for whatever reason.",
    "lost": "Those of the drops that the loss setting took.",
    "queue_drops": "Those of the drops that found the queue behind the rate full.",
    "overlimits": "How often the rate made a packet wait.",
    "backlog_packets": "Packets in the link now, on their way or waiting.",
    "backlog_bytes": "Bytes in the link now.",
    "interval_packets": "Packets that left the link since the message before.",
    "interval_drops": "Packets lost in the link since the message before.",
}
