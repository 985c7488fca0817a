from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from linkem_py import TopologyError, read_trace
from linkem_py.model import Trace

PACKETS = "0\n10\n500\n1000\n"
CSV = "at_s,rate_kbit\n0,1000\n2,500\n"
JSON = '[{"at_s": 0, "rate_kbit": 1000}, {"at_s": 2, "rate_kbit": 500}]'


@pytest.mark.parametrize(
    ("name", "text", "settings", "made"),
    [
        ("driving.up", PACKETS, {}, lambda name: Trace.mahimahi(PACKETS, name=name)),
        ("driving", PACKETS, {"bin_ms": 500}, lambda name: Trace.mahimahi(PACKETS, bin_ms=500, name=name)),
        ("walk.csv", CSV, {"duration_s": 9}, lambda name: Trace.csv(CSV, duration_s=9, name=name)),
        ("walk.JSON", JSON, {"repeat": False}, lambda name: Trace.json(JSON, repeat=False, name=name)),
        ("walk.txt", CSV, {"format": "csv"}, lambda name: Trace.csv(CSV, name=name)),
    ],
)
def test_a_file_is_read_as_its_name_ends_or_as_it_is_said(
    tmp_path: Path, name: str, text: str, settings: Any, made: Any
) -> None:
    file = tmp_path / name
    file.write_text(text)
    assert read_trace(file, **settings) == made(str(file))


@pytest.mark.parametrize(
    ("name", "content", "settings", "message"),
    [
        ("a.up", b"0\n10\nx\n", {}, "{}, line 3: time must be a whole number of milliseconds: 'x'"),
        ("a.csv", b"at_s,delay_ms\n0,5\n1,-5\n", {}, "{}, line 3: delay_ms must be between 0 and 3.6e+06: -5.0"),
        ("a.json", b'[\n{"at_s": 0,\n"delay_ms": }]', {}, "{}, line 3: trace must be JSON: "),
        ("a.up", b"0\n10\n\xff\n", {}, "{}, line 3: trace must be UTF-8: 'invalid start byte'"),
        (
            "a.up",
            b"0\n10\n",
            {"duration_s": 5},
            "{}: duration_s is no setting of the format mahimahi; they are repeat, bin_ms, packet_bytes: 5",
        ),
        ("a.csv", b"", {"bin_ms": 5}, "{}: bin_ms is no setting of the format csv; they are repeat, duration_s: 5"),
        ("a.csv", CSV.encode(), {"format": "xls"}, "format must be one of mahimahi, csv, json: 'xls'"),
    ],
)
def test_what_is_wrong_is_said_with_the_file_and_the_line(
    tmp_path: Path, name: str, content: bytes, settings: Any, message: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(TopologyError) as caught:
        read_trace(file, **settings)
    assert str(caught.value).startswith(message.format(file))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TopologyError) as caught:
        read_trace(tmp_path / "none.up")
    assert str(caught.value) == f"trace cannot be read (No such file or directory): '{tmp_path / 'none.up'}'"
