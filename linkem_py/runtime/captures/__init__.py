# Captures of what peers' interfaces see.
#
#   capture    Capture: one capture, from its first packet to its last
#   captures   Captures: those of a network, which end with it, and the copies they need
#   pcapng     the file format, as bytes
#   expression capture filters in tcpdump's language
"""Packets before and after a peer's queues, as pcapng."""

from linkem_py.runtime.captures.capture import Capture
from linkem_py.runtime.captures.captures import Captures

__all__ = ["Capture", "Captures"]
