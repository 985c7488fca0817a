# What happened to a network, as a file: JSON Lines.
#
#   values      fields of an impairment as JSON, and back
#   topologies  a topology as JSON, and back
#   recorder    Recorder: writes while the network runs
#   recording   Recording, read_recording: what was written
#
# The first line is the header: the network as it began, its seed, its kernel. Then come, in the order in
# which they happened, lines with `links` (a change: what differs, and the time at which the kernel had taken
# it) and lines with `stats` (counters). Times are seconds since the recording began. A network that was
# closed leaves a line with `end` as the last line; one that was killed leaves whole lines, and perhaps a part of
# one, which a reader passes over. docs/recordings.md has every field.
"""Recordings of running networks."""

from linkem_py.runtime.recording.recorder import Recorder
from linkem_py.runtime.recording.recording import RecordedChange, RecordedLink, RecordedStats, Recording, read_recording

__all__ = ["RecordedChange", "RecordedLink", "RecordedStats", "Recorder", "Recording", "read_recording"]
