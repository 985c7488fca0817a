"""``linkem capture`` and ``linkem up --metrics``: words in, words out."""

from __future__ import annotations

import pytest

from linkem_py.cli.arguments import parse
from linkem_py.cli.capture import said
from linkem_py.cli.errors import UsageError
from linkem_py.cli.main import main


def test_the_outcome_in_words() -> None:
    assert said({"packets": 1200, "dropped": 0}, "a.pcapng") == "1,200 packets are in a.pcapng, none missing"
    assert said({"packets": 5, "dropped": 2}, "-") == (
        "5 packets are in standard output, and 2 came too fast and are missing"
    )


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["a", "b", "c", "-o", "x"], "which peer?"),
        (["a", "-o", "x", "--mqtt", "mqtt://h"], "not MQTT"),
        (["a", "-o", "-", "--json"], "standard output is for a file"),
        (["a", "-o", "x", "--count", "0"], "must be a whole number above 0: '0'"),
        (["a"], "-o/--output"),
    ],
)
def test_wrong_usage(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capture", *words]) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "found"),
    [("9090", ("127.0.0.1", 9090)), ("0.0.0.0:1", ("0.0.0.0", 1)), ("[::1]:0", ("::1", 0))],
)
def test_where_metrics_are_served(text: str, found: tuple[str, int]) -> None:
    assert parse(["up", "x", "--metrics", text]).metrics == found


@pytest.mark.parametrize("text", ["", "x", "1:70000", "host:"])
def test_no_place_for_metrics(text: str) -> None:
    with pytest.raises(UsageError, match="must be PORT or HOST:PORT"):
        parse(["up", "x", f"--metrics={text}"])
