"""The thread that sends the packets of all flows when they are due."""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import queue
import threading
import time
from collections.abc import Callable

from linkem_py.runtime.cross_traffic.flow import BEHIND_S, Flow, Sender

PAUSE_S = 0.0005  # at least so long between two turns: what comes due meanwhile leaves together
_LONGEST_WAIT_S = 3600.0
_LOG = logging.getLogger(__name__)


class Pacer:
    """A thread that begins with its first flow and ends with `close`. Its methods return at once.

    It rests as long as it worked, so that it takes half a core at most; what that does not suffice for comes
    late, and beyond `BEHIND_S` not at all.

    Parameters
    ----------
    clock : seconds that do not jump
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._heap: list[tuple[float, int, Flow]] = []
        self._serial = itertools.count()
        self._entries: dict[Flow, int] = {}  # the flows, and which entry of the heap is theirs
        self._thread: threading.Thread | None = None
        self._closed = False
        self._rest_s = PAUSE_S

    def add(self, flow: Flow) -> None:
        """Send its packets from now on; it is closed by `remove` or with the pacer."""
        self._jobs.put(lambda: self._push(flow))  # before the thread begins: it need not be woken up for it
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="linkem-cross-traffic", daemon=True)
            self._thread.start()

    def remove(self, flow: Flow) -> None:
        """Send no more of it."""
        self._jobs.put(lambda: self._remove(flow))

    def set_load(self, flow: Flow, load_kbit: float) -> None:
        """Have a flow go on with another load from now on."""
        now_s = self.clock()
        self._jobs.put(lambda: self._set_load(flow, now_s, load_kbit))

    def set_sender(self, flow: Flow, sender: Sender) -> None:
        """Have a flow go on with another sender."""
        self._jobs.put(lambda: self._set_sender(flow, sender))

    def close(self) -> None:
        """Close every flow and end, soon; `join` waits for it. Twice is harmless."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)

    def join(self) -> None:
        """Wait until the thread has ended, after `close`."""
        if self._thread is not None:
            self._thread.join()

    def __repr__(self) -> str:
        return f"<Pacer: {len(self._entries)} flows>"

    def _run(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=self._wait_s())
                if job is None:
                    break
                job()
            except queue.Empty:
                self._turn()
        for flow in self._entries:
            flow.close()

    def _wait_s(self) -> float:
        next_s = self._heap[0][0] if self._heap else math.inf
        return min(max(next_s - self.clock(), self._rest_s), _LONGEST_WAIT_S)

    def _turn(self) -> None:
        now_s, began_s = self.clock(), time.thread_time()
        while self._heap and self._heap[0][0] <= now_s:
            _, serial, flow = heapq.heappop(self._heap)
            if self._entries.get(flow) != serial:
                continue
            try:
                flow.turn(now_s, self.clock)
            except Exception:
                _LOG.exception("cross traffic ends: %r", flow)
                self._remove(flow)
            else:
                self._push(flow)
        # Some kernels count a thread's time in ticks, and charge it with what the machine was late.
        self._rest_s = min(max(PAUSE_S, time.thread_time() - began_s), BEHIND_S)

    def _push(self, flow: Flow) -> None:
        """Put a flow where it belongs; an earlier entry of its counts no more."""
        serial = self._entries[flow] = next(self._serial)
        heapq.heappush(self._heap, (flow.next_s, serial, flow))

    def _remove(self, flow: Flow) -> None:
        self._entries.pop(flow, None)
        flow.close()

    def _set_sender(self, flow: Flow, sender: Sender) -> None:
        if flow in self._entries:
            flow.set_sender(sender)
        else:
            sender.close()

    def _set_load(self, flow: Flow, at_s: float, load_kbit: float) -> None:
        if flow in self._entries:
            flow.set_load(at_s, load_kbit, self.clock)
            self._push(flow)
