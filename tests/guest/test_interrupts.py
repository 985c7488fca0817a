from __future__ import annotations

import os
import signal
import threading

import pytest

from linkem_py.guest.interrupts import GRACE_S, INSISTING_S, Interrupts, Patience


def test_interrupts_end_the_guest_only_when_insisted_on() -> None:
    patience = Patience()
    for now in (0.0, INSISTING_S + 0.1, 2 * INSISTING_S + 0.2, 2 * INSISTING_S + 0.3):
        patience.note(signal.SIGINT, now)
        assert patience.until is None
    now = 2 * INSISTING_S + 0.4
    patience.note(signal.SIGINT, now)
    assert (patience.until, patience.status) == (now, 130)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_other_signals_leave_time_once(number: signal.Signals) -> None:
    patience = Patience()
    patience.note(number, 10.0)
    assert (patience.until, patience.status) == (10.0 + GRACE_S, 128 + number)
    patience.note(number, 11.0)
    assert patience.until == 11.0


def test_signals_are_collected_and_handlers_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Interrupts() as interrupts:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGWINCH)
        assert sorted(interrupts.take()) == [signal.SIGTERM, signal.SIGWINCH]
        assert interrupts.take() == []
    assert signal.getsignal(signal.SIGTERM) is before
    assert interrupts.fd == -1


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGHUP)
            assert interrupts.take() == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_get_none() -> None:
    seen = []

    def enter() -> None:
        with Interrupts() as interrupts:
            seen.append(interrupts.fd)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [-1]
