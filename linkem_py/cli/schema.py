"""``linkem schema``: the JSON Schema of what a running network says and is told, and that of scenarios."""

from __future__ import annotations

import argparse

from linkem_py.cli.console import print_json
from linkem_py.cli.errors import UsageError

SCENARIO = "scenario"  # the schema of a file, which no network says or is told


def run(options: argparse.Namespace) -> int:
    """Print the schema of the payload `options.payload`; of all of them if that is None."""
    from linkem_py.control.wire import schema

    name: str | None = options.payload
    if name == SCENARIO:
        from linkem_py.control.wire.scenarios import scenario_schema

        print_json(scenario_schema())
        return 0
    if name is not None and name not in schema.payload_names():
        raise UsageError(f"linkem schema {name}: must be one of {', '.join((*schema.payload_names(), SCENARIO))}")
    print_json(schema.json_schema() if name is None else schema.payload_schema(name))
    return 0
