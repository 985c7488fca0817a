# How a link's impairment goes on in time, as values: no clock, no files, no global randomness.
#
#   change         ScheduledChange: from a moment on, these fields hold, or nothing passes
#   fields         the vocabulary of a change: fields of Impairment, and numbers inside its loss model
#   schedule       Schedule, what all of them can do; Stream, one run of one of them
#   randomness     generators from seeds, and seeds from seeds
#
#   constant, steps, replay      what is written down
#   trace, trace_text            what was measured: Mahimahi, CSV and JSON texts
#   markov, ornstein_uhlenbeck   what is drawn; OrnsteinUhlenbeckGroup steps thousands at once
#   sums, overlay, modifier      what is put over something else
#   situations                   handover, outage, bufferbloat, degradation cycle
#
# A schedule is a frozen value: sharing it between links is safe. Its `stream(seed)` is one run, a
# lazy iterator that looks one change ahead. Everything else follows from that choice:
#
#   - Splitting a span gives the same changes, because spans are half-open and a stream is read only
#     forwards: `until(5)` and `until(9)` together are `until(9)`. `changes(5, 9, seed)` opens a
#     stream and throws away what was before 5. Processes with a memory have no short cut to their
#     middle, and going there costs about a microsecond per change.
#   - Same seed, same changes: every stream has a Philox generator of its own (a keyed bijection of
#     a counter), so no stream can move another's. Schedules inside others get seeds hashed from
#     theirs (`seed_from`). The bits are numpy's: a release that changes how it makes normal
#     deviates would change them; a recording does not.
#   - Thousands of Ornstein-Uhlenbeck links: a generator per link stays, but deviates are drawn in
#     blocks, and the step is arithmetic over all links at once. A block holds what single draws
#     would have given, and the arithmetic is the same operations in the same order, so a link in a
#     group has the values that it has alone, bit for bit.
#   - Composition is composition of iterators: an overlay is a merge of two.
#
# An outage is said as such (`ScheduledChange.outage`), beside the fields, not as a low rate and not
# as a loss of 100 %. A low rate charges the packet in service at that rate, and the shaper's debt
# outlives the outage: at 8 kbit/s a packet of 1,500 bytes holds up the next for 1.5 s. A loss of
# 100 % displaces the loss model that the link has, and takes two netem changes, each of which resets
# netem's random sequence. What the kernel needs to know is that nothing passes: it can cut the link
# in front of the queue and leave shaper and netem as they are, full of tokens when the outage ends.
# Rates that a schedule sets during an outage are ordinary changes underneath it.
"""Schedules: impairments that change with time. Pure: changes of a span from a seed."""

from linkem_py.model.schedule.change import Fields, ScheduledChange, What
from linkem_py.model.schedule.constant import Constant
from linkem_py.model.schedule.markov import Markov
from linkem_py.model.schedule.modifier import Bufferbloat, Handover, Modifier
from linkem_py.model.schedule.ornstein_uhlenbeck import OrnsteinUhlenbeck
from linkem_py.model.schedule.ornstein_uhlenbeck_group import OrnsteinUhlenbeckGroup
from linkem_py.model.schedule.overlay import OUTAGE, Overlay
from linkem_py.model.schedule.randomness import link_seed
from linkem_py.model.schedule.replay import Replay
from linkem_py.model.schedule.schedule import Schedule, Stream
from linkem_py.model.schedule.situations import bufferbloat, degradation_cycle, handover, outage
from linkem_py.model.schedule.steps import Steps
from linkem_py.model.schedule.sums import Sum
from linkem_py.model.schedule.trace import Trace

__all__ = [
    "OUTAGE",
    "Bufferbloat",
    "Constant",
    "Fields",
    "Handover",
    "Markov",
    "Modifier",
    "OrnsteinUhlenbeck",
    "OrnsteinUhlenbeckGroup",
    "Overlay",
    "Replay",
    "Schedule",
    "ScheduledChange",
    "Steps",
    "Stream",
    "Sum",
    "Trace",
    "What",
    "bufferbloat",
    "degradation_cycle",
    "handover",
    "link_seed",
    "outage",
]
