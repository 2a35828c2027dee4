"""Mutators and oracles of other packages, which are loaded only when a user names them.

A package offers one by an entry point of the group `armour.mutators` or `armour.oracles`, whose object is the
module that registers it (or anything in that module):

    [project.entry-points."armour.mutators"]
    grain = "my_package.grain"

Loading runs that package's code. So a name comes from the user's own command or program, never from a corpus:
a corpus only says which plug-ins it was made with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, packages_distributions, version
from typing import Any

from armour.checks import suggest
from armour.errors import InvalidArgument
from armour.registry import Registry, normalise

GROUPS = {"mutator": "armour.mutators", "oracle": "armour.oracles"}
_OPTION = {"mutator": "--mutators +{0}", "oracle": "--oracle {0}"}
_SHOWN = 60  # characters of what a corpus or a package says


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A loaded entry point: its name, its package and version, and what it registered."""

    name: str
    package: str
    version: str
    rows: tuple[str, ...]


_LOADED: dict[tuple[str, str], Plugin] = {}


def installed(kind: str) -> list[str]:
    """Names of the plug-ins of a kind, "mutator" or "oracle", that installed packages offer; loads none."""
    return sorted({point.name for point in entry_points(group=GROUPS[kind])})


def loaded(kind: str) -> dict[str, Plugin]:
    """The plug-ins of a kind that have been loaded, by name."""
    return {name: plugin for (own, name), plugin in sorted(_LOADED.items()) if own == kind}


def load(registry: Registry[Any], name: str) -> Plugin:
    """Import the plug-in `name`, which registers itself in `registry`; once loaded it is only looked up.

    InvalidArgument, in one line, if no installed package or more than one offers it, if its code raises, or
    if it registers nothing.
    """
    kind = registry.kind
    known = _LOADED.get((kind, name))
    if known is not None:
        return known
    point = _point(kind, name)
    before = set(registry.names())
    try:
        point.load()
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InvalidArgument(
            f"{kind} plug-in {name!r} of {_package(point)} cannot be loaded: {reason}"
        ) from error
    own = point.value.partition(":")[0].strip()
    # Its module may have been imported before, by the user's program: then nothing is new.
    rows = [
        row
        for row, item in registry.items()
        if row not in before or home(item) == own or home(item).startswith(own + ".")
    ]
    if not rows:
        raise InvalidArgument(
            f"expected {kind} plug-in {name!r} of {_package(point)} to register one, it registered none; its "
            f"entry point must name the module that does so, got {point.value[:_SHOWN]!r}"
        )
    package, number = _distribution(point)
    plugin = Plugin(name=name, package=package, version=number, rows=tuple(rows))
    _LOADED[kind, name] = plugin
    return plugin


def load_named(registry: Registry[Any], names: Iterable[str], known: Iterable[str] = ()) -> list[Plugin]:
    """Load those of `names` that are neither registered nor in `known` and that a package offers.

    Names nobody knows are left to whoever uses them, who can say what they could have been.
    """
    offered, mine = set(installed(registry.kind)), {normalise(name) for name in known}
    wanted = [name for name in dict.fromkeys(names) if name in offered and normalise(name) not in mine]
    return [load(registry, name) for name in wanted if name not in registry]


def home(row: Any) -> str:
    """The module whose function a registered row calls, or that defines a registered class."""
    if isinstance(row, type):
        return row.__module__
    function = getattr(row, "function", None) or getattr(row, "judge", None) or row
    return str(getattr(function, "__module__", ""))


def is_own(row: Any) -> bool:
    """Whether a registered row is armour's own."""
    return home(row).startswith("armour.fuzz.")


def origins(registry: Registry[Any], names: Sequence[str]) -> list[dict[str, str]]:
    """Of each of `names` that is not armour's own: name, package and version, for a manifest."""
    found = []
    for name in names:
        row = registry.get(name)
        if not is_own(row):
            plugin = next((p for p in loaded(registry.kind).values() if name in p.rows), None)
            package, number = (plugin.package, plugin.version) if plugin else _of_module(home(row))
            # The name to load it by, where that is another.
            found.append(
                {"name": name, "plugin": plugin.name if plugin else "", "package": package, "version": number}
            )
    return found


def check_loaded(registry: Registry[Any], recorded: object, where: str) -> None:
    """InvalidArgument, in one line, if a manifest's record of origins() names what is not registered here.

    recorded: as a stranger's file says it; where: what it belongs to, for the message.
    """
    for one in recorded if isinstance(recorded, list) else []:
        if not isinstance(one, Mapping) or str(one.get("name", "")) in registry:
            continue
        name, package, number, plugin = (
            str(one.get(key, "")).strip()[:_SHOWN] for key in ("name", "package", "version", "plugin")
        )
        source = f"{package} {number}".strip() or "another package"
        remedy = (
            f"install that package and name it: {_OPTION[registry.kind].format(plugin)}"
            if plugin
            else "it was registered by a Python program; replay it from there"
        )
        raise InvalidArgument(
            f"{where} was made with the {registry.kind} {name!r} of {source!r}, which is not loaded; {remedy}"
        )


def _point(kind: str, name: str) -> EntryPoint:
    points = [point for point in entry_points(group=GROUPS[kind]) if point.name == name]
    if not points:
        offered = installed(kind)
        end = suggest(name, offered) if offered else "; no installed package offers any"
        raise InvalidArgument(f"unknown {kind} plug-in {name!r}{end}")
    if len({point.value for point in points}) > 1:
        raise InvalidArgument(
            f"expected one {kind} plug-in {name!r}, got {len(points)}: of "
            f"{', '.join(sorted(map(_package, points)))}; uninstall all but one"
        )
    return points[0]


def _package(point: EntryPoint) -> str:
    return " ".join(_distribution(point)).strip() or "an unnamed package"


def _distribution(point: EntryPoint) -> tuple[str, str]:
    return ("", "") if point.dist is None else (str(point.dist.name), str(point.dist.version))


def _of_module(module: str) -> tuple[str, str]:
    """Package and version of a module; the module's own name if no package has it."""
    top = module.partition(".")[0]
    for package in packages_distributions().get(top, []):
        try:
            return package, version(package)
        except PackageNotFoundError:
            continue
    return module, ""
