from __future__ import annotations

import argparse
import json

import pytest

from linkem_py.cli import schema
from linkem_py.cli.errors import UsageError
from linkem_py.control.wire.schema import json_schema, payload_names, payload_schema


@pytest.mark.parametrize("name", [None, *payload_names()])
def test_the_schema_is_printed_as_json(name: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    assert schema.run(argparse.Namespace(payload=name)) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == (json_schema() if name is None else payload_schema(name))


def test_an_unknown_payload_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="linkem schema sets: must be one of link-set, set, partition"):
        schema.run(argparse.Namespace(payload="sets"))
