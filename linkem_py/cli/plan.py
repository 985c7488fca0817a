"""``linkem plan``: what would be built for a topology, on any machine, without root."""

from __future__ import annotations

import argparse
from typing import Any

from linkem_py.cli import described
from linkem_py.cli.console import notice, print_json
from linkem_py.cli.errors import UsageError


def run(options: argparse.Namespace) -> int:
    """Print every class, qdisc and filter of a topology."""
    topology = described.load(options).topology
    import attrs

    from linkem_py.model import Capabilities
    from linkem_py.plan import desired, show
    from linkem_py.plan.requirements import unmet

    names = [name for name in attrs.fields_dict(Capabilities) if name != "release"]
    unknown = [name for name in options.without if name not in names]
    if unknown:
        raise UsageError(f"--without {unknown[0]}: must be one of {', '.join(names)}")
    lacks: dict[str, Any] = dict.fromkeys(options.without, False)
    capabilities = Capabilities(**lacks)
    state = desired(topology, capabilities, seed=options.seed)
    if options.json:
        print_json(show.as_json(state))
    else:
        print(show.show(state, topology))
    if missing := unmet(topology, capabilities):
        notice(f"such a kernel could not run it: it lacks {', '.join(missing)}", quiet=options.quiet)
    return 0
