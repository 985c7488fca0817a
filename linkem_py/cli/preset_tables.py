"""Presets as people read them: aligned, a unit on every number. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from linkem_py.cli import words
from linkem_py.cli.console import BOLD, DIM, Cell, Paint, columns
from linkem_py.model import Impairment, format_duration
from linkem_py.model.presets import ALIASES, MODIFIERS, PAIRS, PRESETS, SCHEDULE_PAIRS, SCHEDULES, NamedSchedule, Preset
from linkem_py.model.scenario import SCENARIOS, Scenario, ScenarioLink
from linkem_py.model.schedule import Schedule

HEADINGS = ("delay", "loss", "rate", "reordered", "duplicates", "MTU", "what it stands for")
_UNITS = (("_ms", " ms"), ("_pct", " %"), ("_factor", " times"))


def overview(paint: Paint) -> list[str]:
    """All of them, by group."""
    return [
        *_section("links: --preset NAME", _links(), paint, "± is jitter; ~ is lost in bursts"),
        *_section("modifiers: what schedules put over a link", _modifiers(), paint),
        *_section("schedules: --schedule NAME", [*_pairs_of_schedules(), *_schedules()], paint),
        *_section("scenarios: --scenario NAME", _scenarios(SCENARIOS.values()), paint)[:-1],
    ]


def _section(title: str, rows: Sequence[Sequence[Cell]], paint: Paint, note: str = "") -> list[str]:
    head = paint(title, BOLD) + (f"  ({note})" if note else "")
    return [head, *columns(rows, paint), ""]


# --- links ---------------------------------------------------------------------------------------


def _links() -> list[list[Cell]]:
    """The pairs, an end in each row; then what is the same in both directions."""
    rows: list[list[Cell]] = [["", "", *((heading, DIM) for heading in HEADINGS)]]
    ends = set()
    for name, (up, down) in PAIRS.items():
        if name in PRESETS:
            continue
        ends |= {up.name, down.name}
        rows.append([(name, BOLD), "uplink", *numbers(up)])
        rows.append(["", "downlink", *numbers(down)])
    for name, preset in PRESETS.items():
        if name not in ends:
            also = "".join(f" (also {alias})" for alias, meant in ALIASES.items() if meant == name)
            rows.append([(name, BOLD), "", *numbers(preset)[:-1], (preset.about + also, DIM)])
    return rows


def numbers(preset: Preset) -> list[Cell]:
    """The cells of one direction, as `HEADINGS` has them."""
    own = preset.impairment
    delay = f"{words.number(own.delay_ms)} ± {words.number(own.jitter_ms)} ms" if own.delay_ms else "none"
    loss = "none"
    if own.mean_loss_pct:
        loss = f"{'~' if own.loss is not None else ''}{words.number(float(f'{own.mean_loss_pct:.3g}'))} %"
    rate = "unlimited" if own.rate_kbit is None else words.rate(1000 * own.rate_kbit)
    shares = (f"{words.number(share)} %" if share else "none" for share in (own.reorder_pct, own.duplicate_pct))
    return [delay, loss, rate, *shares, f"{preset.mtu:,} B", (preset.about, DIM)]


def link(name: str, up: Preset, down: Preset, paint: Paint) -> list[str]:
    """One whole link: every field in both directions."""
    rows: list[list[Cell]] = []
    for direction, end in (("uplink", up), ("downlink", down)) if up is not down else (("both ways", up),):
        fields = fields_of(end.impairment)
        label = f"{direction} {end.name}" if end.name != name else direction
        rows += [[label if index == 0 else "", *field] for index, field in enumerate(fields)]
        rows.append(["", "mtu", f"{end.mtu:,} B"])
        rows += [["", "mean loss", f"{end.impairment.mean_loss_pct:.3g} %"]] if end.impairment.loss is not None else []
    also = [alias for alias, meant in ALIASES.items() if meant == name]
    about = up.about if up is down else f"{up.about}; {down.about}"
    return [f"link {paint(name, BOLD)}{''.join(f', or {alias}' for alias in also)}: {about}", *columns(rows, paint)]


def fields_of(impairment: Impairment) -> list[list[Cell]]:
    """Name and value of every field that is set."""
    from linkem_py.control.wire.impairments import impairment_json

    rows: list[list[Cell]] = []
    for name, value in impairment_json(impairment).items():
        said = words.impairment({name: value})
        stem = name.rpartition("_")[0] if said.startswith(name.rpartition("_")[0].replace("_", " ") + " ") else name
        label = stem.replace("_", " ")
        rows.append([label, said.removeprefix(label).strip()])
    return rows or [["unimpaired"]]


# --- what happens on them ------------------------------------------------------------------------


def _modifiers() -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for name, make in MODIFIERS.items():
        settings = [setting(field, value) for field, value in settings_of(make()).items()]
        rows.append([(name, BOLD), (make.__doc__ or "").partition("\n")[0], ("  ".join(settings), DIM)])
    return rows


def settings_of(modifier: object) -> dict[str, float]:
    """The settings of a modifier, as they are unless they are given."""
    return attrs.asdict(modifier)  # type: ignore[arg-type]


def setting(name: str, value: float) -> str:
    """A modifier's setting with its unit: ``delay 200 ms``."""
    for ending, unit in _UNITS:
        if name.endswith(ending):
            return f"{name.removesuffix(ending).replace('_', ' ')} {words.number(value)}{unit}"
    return f"{name} {words.number(value)}"


def modifier(name: str, paint: Paint) -> list[str]:
    """One whole modifier."""
    made = MODIFIERS[name]()
    rows: list[list[Cell]] = [[setting(field, value), (field, DIM)] for field, value in settings_of(made).items()]
    return [f"modifier {paint(name, BOLD)}: {(type(made).__doc__ or '').partition(chr(10))[0]}", *columns(rows, paint)]


def _schedules() -> list[list[Cell]]:
    return [[(name, BOLD), _kind(entry.schedule), entry.about] for name, entry in SCHEDULES.items()]


def _pairs_of_schedules() -> list[list[Cell]]:
    return [
        [(name, BOLD), "pair", f"uplink {up.name}, downlink {down.name}"]
        for name, (up, down) in SCHEDULE_PAIRS.items()
        if name not in SCHEDULES
    ]


def _kind(schedule: Schedule) -> str:
    return type(schedule).__name__


def schedule(entry: NamedSchedule, paint: Paint) -> list[str]:
    """One whole schedule: what it does, and between which values every number stays."""
    rows: list[list[Cell]] = []
    for name in sorted(entry.schedule.names):
        if name in _NUMBERS and (found := entry.schedule.bounds(name, entry.impairment)) is not None and any(found):
            least, most = (words.impairment({name: bound}).removeprefix(_NUMBERS[name]).strip() for bound in found)
            rows.append([_NUMBERS[name], least if least == most else f"{least} to {most}"])
    losses = [state.mean_loss_pct for state in entry.schedule.throughout(entry.impairment)]
    if any(losses) and entry.schedule.names & {"loss", "loss_pct"}:
        rows.append(["mean loss", f"{min(losses):.3g} % to {max(losses):.3g} %"])
    over = [] if entry.impairment.is_clear else [f"  over a link such as: {words_of(entry.impairment)}"]
    head = f"schedule {paint(entry.name, BOLD)} ({_kind(entry.schedule)}): {entry.about}"
    return [head, *over, *columns(rows, paint)]


_NUMBERS = {
    "delay_ms": "delay",
    "jitter_ms": "jitter",
    "rate_kbit": "rate",
    "reorder_pct": "reorder",
    "duplicate_pct": "duplicate",
    "queue_ms": "queue",
}


def words_of(impairment: Impairment) -> str:
    """An impairment in a line."""
    from linkem_py.control.wire.impairments import impairment_json

    return words.impairment(impairment_json(impairment))


# --- scenarios -----------------------------------------------------------------------------------


def _scenarios(scenarios: Iterable[Scenario]) -> list[list[Cell]]:
    return [
        [(one.name, BOLD), format_duration(one.duration_s), _count(len(one.links), "link"), one.about]
        for one in scenarios
    ]


def scenario(wanted: Scenario, paint: Paint) -> list[str]:
    """One whole scenario: its links in both directions, and what happens on them."""
    rows: list[list[Cell]] = [["", "", *((heading, DIM) for heading in HEADINGS[:-1]), ("schedule", DIM)]]
    for one in wanted.links:
        rows += _directions(one)
    head = f"scenario {paint(wanted.name, BOLD)}: {wanted.about}"
    return [head, f"  takes {format_duration(wanted.duration_s)}; {', '.join(wanted.peers)}", *columns(rows, paint)]


def _directions(one: ScenarioLink) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for direction, own, what in (
        ("uplink", one.uplink, one.uplink_schedule),
        ("downlink", one.downlink, one.downlink_schedule),
    ):
        if own is not None:
            rows.append([(one.name, BOLD) if not rows else "", direction, *numbers(own)[:-1], name_of(what)])
    return rows


def name_of(what: Schedule | None) -> str:
    """The name of a schedule, if it is one of those that have one."""
    if what is None:
        return ""
    return next((entry.name for entry in SCHEDULES.values() if entry.schedule == what), _kind(what))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
