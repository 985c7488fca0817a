from __future__ import annotations

from linkem_py.control.redeliveries import Redeliveries, content
from linkem_py.control.wire.replies import Problem, Reply
from tests.control.stations import delay

DONE = Reply(ok=True)


def test_the_oldest_ids_are_forgotten_first() -> None:
    seen: Redeliveries[str] = Redeliveries(most_ids=3)
    for number in range(5):
        seen.remember(str(number), b"content", "pending")
    assert [seen.find(str(number), b"content") for number in range(5)] == [None, None, *["pending"] * 3]


def test_long_replies_make_fewer_of_them_remembered() -> None:
    seen: Redeliveries[str] = Redeliveries(most_bytes=100_000)
    for number in range(1000):
        seen.remember(str(number), b"content", "pending")
        seen.remember(str(number), b"content", Reply(ok=False, error=Problem(message="x" * 1000, value="y" * 1000)))
    assert 40 < len(seen) < 50


def test_a_late_reply_does_not_replace_a_newer_command_of_its_id() -> None:
    seen: Redeliveries[str] = Redeliveries()
    seen.remember("x", b"first", "pending")
    seen.remember("x", b"second", "pending too")
    seen.remember("x", b"first", DONE)
    assert seen.find("x", b"first") is None
    assert seen.find("x", b"second") == "pending too"


def test_a_reply_to_what_is_forgotten_stays_forgotten() -> None:
    seen: Redeliveries[str] = Redeliveries()
    seen.remember("x", b"content", DONE)
    assert len(seen) == 0


def test_content_leaves_the_id_out() -> None:
    assert content(delay(5, id="a")) == content(delay(5, id="b"))
    assert content(delay(5)) != content(delay(6))
    assert content(delay(5)) != content(delay("5"))
