from __future__ import annotations

import io
import json
import re
import subprocess
import sys

import pytest
from rich.console import Console

from linkem_py.cli.completion import candidates
from linkem_py.control.registry import Registry
from linkem_py.report.verify import Check, LinkChecks, Outcome, Verification, render_verification

from .conftest import Linkem

PROGRAM = [sys.executable, "-m", "linkem_py.cli.main"]
HERE = ("--kernel", "host", "-q")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--tolerance", "wind=3%"), "--tolerance must be one of delay, .*: 'wind'"),
        (("--tolerance", "loss=3"), "--tolerance must be a share above 0"),
        (("--duration", "soon"), "--duration must be a time"),
        (("--", "true"), "linkem verify takes no command"),
    ],
)
def test_wrong_usage_is_status_2(linkem: Linkem, words: tuple[str, ...], says: str) -> None:
    outcome = linkem("verify", "pair", *words)
    assert outcome.status == 2
    assert re.search(says, outcome.err)


def test_words_are_completed(tmp_path) -> None:  # type: ignore[no-untyped-def]
    registry = Registry(tmp_path)
    assert "verify" in candidates([""], registry)
    assert "pair" in candidates(["verify", ""], registry)
    assert {"--tolerance", "--link", "--quick"} <= set(candidates(["verify", "pair", "--"], registry))
    assert "loss=" in candidates(["verify", "pair", "--tolerance", "l"], registry)


def made_up() -> Verification:
    checks = (
        Check(
            quantity="loss", unit="%", asked=2.0, measured=1.95, low=1.81, high=2.09, tolerance=0.2, samples=64_048,
            needed=32_512, outcome=Outcome.WITHIN,
        ),
        Check(
            quantity="delay", unit="ms", asked=20.0, measured=25.0, low=24.9, high=25.1, tolerance=0.4, samples=900,
            needed=100, outcome=Outcome.OUT,
        ),
        Check(quantity="bursts", unit="packets", asked=1.8, samples=90, needed=1200, note="why"),
        Check(quantity="burst shape", unit="p", asked=0.001, measured=0.4, samples=90, outcome=Outcome.WITHIN),
        Check(quantity="worst second", unit="%", measured=3.0, outcome=Outcome.TOLD),
    )  # fmt: skip
    return Verification(
        topology="made up", release="6.1", seed=7, confidence=0.99, level=0.9975, floor_ms=0.05, allowance_ms=0.2,
        duration_s=12, links=(LinkChecks(key=("a", "b", "lan"), checks=checks),), notes=("netem has no seed",),
    )  # fmt: skip


def test_the_table_says_asked_measured_interval_samples_and_verdict() -> None:
    written = io.StringIO()
    Console(width=160, file=written).print(render_verification(made_up()))
    text = written.getvalue()
    rows = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    lines = {row.split("  ")[0]: " ".join(row.split()) for row in rows}
    assert lines["loss"] == "loss 2 % ±0.2 % 1.95 % 1.81 to 2.09 % 64,048 ✓ within"
    assert lines["delay"] == "delay 20.00 ms ±0.40 ms 25.00 ms 24.90 to 25.10 ms 900 ✗ out of tolerance"
    assert lines["bursts"] == "bursts 1.8 packets 90 of 1,200 ? undecided"
    assert lines["burst shape"] == "burst shape ≥ 0.001 0.4 90 ✓ within"
    assert "99 % interval" in text
    assert "4 checks, each judged at 99.75 %, so that all together are 99 % sure" in text
    assert "bursts of a->b: why" in text
    assert "✓ 2 within  ✗ 1 out of tolerance  ? 1 undecided  · 1 not judged" in text


def test_only_what_is_proven_is_ok() -> None:
    found = made_up()
    assert not found.ok
    (link,) = found.links
    assert link.name == "a->b"
    assert found.link("a", "b") is link
    with pytest.raises(KeyError):
        found.link("b", "a")
    with pytest.raises(KeyError):
        link.check("wind")
    assert json.loads(json.dumps(found.as_json()))["links"][0]["checks"][1]["outcome"] == "out of tolerance"


@pytest.mark.kernel("netem", "htb")
def test_a_link_that_is_not_there_is_wrong_usage(linkem: Linkem) -> None:
    outcome = linkem("verify", "pair", "--link", "a", "c", *HERE)
    assert (outcome.status, outcome.err) == (2, "linkem: --link a c: pair has no such link\n")


@pytest.mark.kernel("netem", "htb")
def test_the_exit_status_says_whether_all_is_within() -> None:
    words = ["verify", "pair", "--link", "a", "b", *HERE, "--json", "--duration", "3s"]
    loose = ["--tolerance", "loss=0.5pp", "--tolerance", "delay=8ms", "--tolerance", "jitter=8ms"]
    done = subprocess.run([*PROGRAM, *words, *loose], capture_output=True, text=True, check=False, timeout=100)
    found = json.loads(done.stdout)
    assert (done.returncode, found["ok"]) == (0, True), found
    assert [(link["source"], link["destination"]) for link in found["links"]] == [("a", "b")]
    tight = ["--tolerance", "loss=0.0001pp"]
    done = subprocess.run([*PROGRAM, *words, *tight], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 1
    assert json.loads(done.stdout)["links"][0]["checks"][0]["outcome"] == "undecided"
