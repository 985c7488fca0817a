from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkem_py.control.wire.topics import Heard, Topics, check_network_name, check_prefix, network_name_of
from linkem_py.errors import RequestError
from tests.control.wire.strategies import keys

TOPICS = Topics("linkem", "demo")
KEY = ("cam", "hub", "lte")


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        (TOPICS.status, "linkem/demo/status"),
        (TOPICS.topology, "linkem/demo/topology"),
        (TOPICS.event, "linkem/demo/event"),
        (TOPICS.set, "linkem/demo/set"),
        (TOPICS.partition, "linkem/demo/partition"),
        (TOPICS.heal, "linkem/demo/heal"),
        (TOPICS.everything, "linkem/demo/#"),
        (TOPICS.link(KEY), "linkem/demo/link/lte/cam/hub"),
        (TOPICS.link_set(KEY), "linkem/demo/link/lte/cam/hub/set"),
        (TOPICS.stats(KEY), "linkem/demo/stats/lte/cam/hub"),
        (TOPICS.reply("7"), "linkem/demo/reply/7"),
        (Topics("site/a", "x").status, "site/a/x/status"),
    ],
)
def test_topics_are_below_prefix_and_network(topic: str, expected: str) -> None:
    assert topic == expected


def test_what_comes_in_is_subscribed_to() -> None:
    assert TOPICS.subscriptions() == (
        "linkem/demo/link/+/+/+/set",
        "linkem/demo/link/+/+/+/schedule",
        "linkem/demo/link/+/+/+/switch",
        "linkem/demo/set",
        "linkem/demo/schedule",
        "linkem/demo/switch",
        "linkem/demo/carrier",
        "linkem/demo/readdress",
        "linkem/demo/partition",
        "linkem/demo/heal",
    )


@given(keys)
def test_a_topic_is_recognised(key: tuple[str, str, str]) -> None:
    topics = Topics("site/linkem", "demo")
    assert topics.parse(topics.link_set(key)) == Heard("link_set", key)
    assert topics.parse(topics.link(key)) == Heard("link", key)
    assert topics.parse(topics.stats(key)) == Heard("stats", key)
    assert topics.parse(topics.reply("7")) == Heard("reply", id="7")
    for kind in ("status", "topology", "event", "set", "partition", "heal"):
        assert topics.parse(getattr(topics, kind)) == Heard(kind)


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "linkem",
        "linkem/demo",
        "linkem/demo/",
        "linkem/demo2/set",
        "linkem/demo/sets",
        "linkem/demo/set/",
        "linkem/demo/link/lan/a/b/sets",
        "linkem/demo/link/lan/a/b/set/",
        "linkem/demo/link/lan/a/b/set/x/y",
        "linkem/demo/stats/lan/a",
        "linkem/demo/reply",
        "linkem/demo/reply/a/b",
        "xlinkem/demo/set",
    ],
)
def test_what_is_not_for_us_is_nothing(topic: str) -> None:
    assert TOPICS.parse(topic) is None


@given(st.text(max_size=30).map("linkem/demo/".__add__) | st.text(max_size=30))
def test_no_topic_does_harm(topic: str) -> None:
    heard = TOPICS.parse(topic)
    assert heard is None or topic.startswith("linkem/demo/")


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "demo", "0", "Demo-2_x.y", "a" * 63])
def test_a_network_name_is_a_level_and_a_file_name(name: str) -> None:
    assert check_network_name(name) == name
    assert Topics("linkem", name).network == name


@pytest.mark.parametrize(
    "name", ["", "a" * 64, "a/b", "+", "#", "a\0", "a b", "é", ".", "..", "-a", "_a", "a\n", 1, None]
)
def test_a_name_that_cannot_be_both_is_refused(name: Any) -> None:
    with pytest.raises(RequestError, match=r"^name must "):
        check_network_name(name)
    with pytest.raises(RequestError, match=r"^name must "):
        Topics("linkem", name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("regions", "regions"),
        ("Zürich – Genève", "Zurich-Geneve"),
        ("a/b+c#d", "a-b-c-d"),
        ("..hidden", "hidden"),
        ("日本", "network"),
        ("", "network"),
        ("x" * 100, "x" * 63),
        ("x" * 62 + " y", "x" * 62),
    ],
)
def test_a_topologys_name_gives_a_networks(text: str, name: str) -> None:
    assert network_name_of(text) == name


@given(st.text())
def test_any_text_gives_a_legal_name_and_a_legal_name_stays(text: str) -> None:
    name = network_name_of(text)
    assert check_network_name(name) == name
    assert network_name_of(name) == name


@pytest.mark.parametrize("prefix", ["", "/", "a/", "/a", "a//b", "a/+", "#", "$SYS", "a\0", "a\n", "x" * 201, None, 1])
def test_a_prefix_that_topics_cannot_begin_with_is_refused(prefix: Any) -> None:
    with pytest.raises(RequestError, match=r"^prefix must be"):
        check_prefix(prefix)
    with pytest.raises(RequestError, match=r"^prefix must be"):
        Topics(prefix, "demo")


def test_a_links_commands_have_topics_of_their_own() -> None:
    key = ("a", "b", "lte")
    assert TOPICS.link_schedule(key) == "linkem/demo/link/lte/a/b/schedule"
    assert TOPICS.link_switch(key) == "linkem/demo/link/lte/a/b/switch"
    assert TOPICS.parse(TOPICS.link_schedule(key)) == ("link_schedule", key, None)
    assert TOPICS.parse(TOPICS.link_switch(key)) == ("link_switch", key, None)
    assert TOPICS.parse("linkem/demo/link/lte/a/b/down") is None
    for name in ("schedule", "switch", "carrier", "readdress"):
        assert TOPICS.parse(getattr(TOPICS, name)) == (name, None, None)
