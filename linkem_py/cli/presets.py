"""``linkem presets``: links, modifiers, schedules and scenarios by name."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from linkem_py.cli import preset_tables
from linkem_py.cli.console import Paint, paint_stdout, print_json
from linkem_py.cli.errors import UsageError
from linkem_py.control.wire.impairments import impairment_json
from linkem_py.errors import TopologyError
from linkem_py.model.presets import ALIASES, MODIFIERS, PAIRS, PRESETS, SCHEDULE_PAIRS, SCHEDULES, NamedSchedule, Preset
from linkem_py.model.presets.lookup import find
from linkem_py.model.scenario import SCENARIOS, Scenario, ScenarioLink


def run(options: argparse.Namespace) -> int:
    """List all of them; or show what is called `options.preset`, of whatever kind."""
    if options.preset is None:
        if options.json:
            print_json(everything())
        else:
            print("\n".join(preset_tables.overview(paint_stdout())))
        return 0
    name = known(options.preset)
    if options.json:
        whole = everything()
        print_json({kind: group[name] for kind, group in whole.items() if kind != "aliases" and name in group})
    else:
        print("\n".join(shown(name, paint_stdout())))
    return 0


def names() -> list[str]:
    """Every name of every kind, aliases too."""
    return sorted({*PAIRS, *MODIFIERS, *SCHEDULE_PAIRS, *SCENARIOS, *ALIASES})


def known(name: str) -> str:
    """The name as the tables have it. Raises `UsageError` with the nearest one."""
    table = {one: one for one in names() if one not in ALIASES}
    try:
        return find("preset", name, table, ALIASES)
    except TopologyError as error:
        raise UsageError(f"preset {error.rule}: {name!r} (linkem presets lists them)") from None


def shown(name: str, paint: Paint) -> list[str]:
    """All that is called so, one after the other."""
    lines: list[str] = []
    if name in PAIRS:
        lines += preset_tables.link(name, *PAIRS[name], paint)
    if name in MODIFIERS:
        lines += preset_tables.modifier(name, paint)
    if name in SCHEDULE_PAIRS:
        for entry in dict.fromkeys(entry.name for entry in SCHEDULE_PAIRS[name]):
            lines += preset_tables.schedule(SCHEDULES[entry], paint)
    if name in SCENARIOS:
        lines += preset_tables.scenario(SCENARIOS[name], paint)
    return lines


# --- for programs --------------------------------------------------------------------------------


def everything() -> dict[str, dict[str, Any]]:
    """All of them as JSON has them, by kind and name."""
    return {
        "links": {name: {"uplink": _preset(up), "downlink": _preset(down)} for name, (up, down) in PAIRS.items()},
        "aliases": dict(ALIASES),
        "modifiers": {name: preset_tables.settings_of(make()) for name, make in MODIFIERS.items()},
        "schedules": {
            name: {"uplink": _schedule(up), "downlink": _schedule(down)} for name, (up, down) in SCHEDULE_PAIRS.items()
        },
        "scenarios": _each(SCENARIOS, _scenario),
    }


def _each(table: Mapping[str, Any], make: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    return {name: make(entry) for name, entry in table.items()}


def _preset(preset: Preset) -> dict[str, Any]:
    own = impairment_json(preset.impairment)
    known_as = preset.name if preset.name in PRESETS else None
    return {"preset": known_as, "about": preset.about, "impairment": own, "mtu": preset.mtu}


def _schedule(entry: NamedSchedule) -> dict[str, Any]:
    return {
        "schedule": entry.name,
        "about": entry.about,
        "fields": sorted(entry.schedule.names),
        "over": impairment_json(entry.impairment),
    }


def _scenario(scenario: Scenario) -> dict[str, Any]:
    return {
        "about": scenario.about,
        "duration_s": scenario.duration_s,
        "peers": list(scenario.peers),
        "links": [_link(link) for link in scenario.links],
    }


def _link(link: ScenarioLink) -> dict[str, Any]:
    return {
        "name": link.name,
        "source": link.source,
        "destination": link.destination,
        "uplink": _preset(link.uplink),
        "downlink": None if link.downlink is None else _preset(link.downlink),
        "uplink_schedule": preset_tables.name_of(link.uplink_schedule) or None,
        "downlink_schedule": preset_tables.name_of(link.downlink_schedule) or None,
    }
