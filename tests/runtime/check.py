"""The kernel of a running network, held against the plan."""

from __future__ import annotations

from linkem_py import Network
from linkem_py.kernel.codec.decode import QdiscRow
from linkem_py.kernel.codec.netem import decode_netem
from linkem_py.plan import desired
from linkem_py.plan.objects import Key, Netem, Object, Qdisc, Ruleset

State = dict[str, set[Key]]


def present(net: Network) -> State:
    """Keys of what the kernel has, by namespace."""
    return {name: net.kernel.present(name) for name in net.kernel.namespaces}


def planned(net: Network) -> list[Object]:
    """What the plan says that the kernel must have now."""
    return list(desired(net.topology, net.capabilities, seed=net.seed, groups=net.groups).values())


def assert_kernel_matches(net: Network) -> None:
    """The kernel has what the plan says, nothing else, and every netem its parameters."""
    wanted: State = {}
    objects = planned(net)
    for made in objects:
        if isinstance(made, Ruleset):  # netlink's dumps have none
            continue
        wanted.setdefault(str(made.key[1]), set()).add(made.key)
    found = present(net)
    assert found.keys() == wanted.keys()
    for name, keys in wanted.items():
        assert found[name] == keys, f"{name}: lacks {keys - found[name]}, has too much {found[name] - keys}"
    _assert_netems_match(net, [made for made in objects if isinstance(made, Qdisc) and made.kind == "netem"])


def _assert_netems_match(net: Network, wanted: list[Qdisc]) -> None:
    rows: dict[tuple[str, str], dict[int, QdiscRow]] = {}
    for made in wanted:
        place = (made.ns, made.dev)
        if place not in rows:
            rows[place] = {row.handle: row for row in net.kernel.qdiscs(*place)}
        row = rows[place][made.handle]
        assert row.parent == made.parent
        assert isinstance(made.options, Netem)
        found = decode_netem(row.options)
        if made.options.seed is None:  # the kernel has drawn one, and reports it
            found = found._replace(seed=None)
        assert _comparable(found, net) == _comparable(made.options, net), made


def _comparable(options: Netem, net: Network) -> Netem:
    # The kernel reports no delay table, and where it has no seeds it reports none.
    options = options._replace(table=b"")
    if options.slot is not None:
        options = options._replace(slot=options.slot._replace(table=b""))
    if options.loss_model is not None:  # its loss fields then say nothing
        options = options._replace(loss=0)
    return options if net.capabilities.seed else options._replace(seed=None)
