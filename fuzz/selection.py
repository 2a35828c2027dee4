"""Which mutators take part in a campaign: armour's own by default, and what a user adds or leaves out.

A selection is written `+grain,-fog,-weather`: `+` adds a mutator, a family of them or a loaded plug-in, `-`
leaves one out. A name without a sign says that only such ones take part: `light,rotate`.
"""

from __future__ import annotations

from collections.abc import Sequence

from armour.checks import suggest
from armour.errors import InvalidArgument
from armour.registry import normalise

from . import plugins
from .aids import MISSING
from .kinds import IMAGE, Kind
from .mutators import MUTATORS, SLOPES, Mutator, get, names_for
from .partners import has_partners
from .roots import Roots

_LONGEST = 4096  # characters of a selection


def words(selection: str) -> list[tuple[str, str]]:
    """(sign, name) of each part, the sign "+", "-" or ""; InvalidArgument for an empty part."""
    if len(selection) > _LONGEST:
        raise InvalidArgument(f"expected at most {_LONGEST} characters of mutators, got {len(selection)}")
    parts = [part.strip() for part in selection.split(",")] if selection.strip() else []
    found = [(part[:1], part[1:].strip()) if part[:1] in ("+", "-") else ("", part) for part in parts]
    if not all(name for _, name in found):
        raise InvalidArgument(f"expected mutators such as +grain,-fog, got {selection[:80]!r}")
    return found


def load_named(selection: str) -> list[plugins.Plugin]:
    """Load the plug-ins that a user's own selection names: code of installed packages."""
    names = [name for sign, name in words(selection) if sign != "-"]
    return plugins.load_named(MUTATORS, names, known=_families())


def select(
    selection: str, shape: Sequence[int], kind: Kind = IMAGE, *, paired: bool = True, slopes: bool = False
) -> list[str]:
    """Names of the mutators that take part, sorted.

    selection: as above, "" for all that are armour's own and on by default. shape, kind, paired,
    slopes: of the inputs and the model, as for names_for. InvalidArgument for a name that is none, or if
    nothing is left that can change an input and leave it where it is.
    """
    able = names_for(shape, kind, paired=paired, slopes=slopes)
    chosen = {name for name in able if get(name).default and plugins.is_own(get(name))}
    parts = [(sign, name, expanded(name)) for sign, name in words(selection)]
    if any(sign == "" for sign, _, _ in parts):
        chosen = set()
    for sign, name, rows in parts:
        if sign == "-":
            chosen -= rows
        elif not rows & set(able):
            raise InvalidArgument(
                f"expected mutators of {kind.name} inputs {tuple(shape)}, got {name!r}, {_want(rows, kind)}"
            )
        else:
            chosen |= rows & set(able)
    # A recipe holds one geometric step at most, so something must be left for the others.
    if not any(not get(name).geometric for name in chosen):
        raise InvalidArgument(
            f"expected mutators {selection!r} to leave one that moves nothing, they leave "
            f"{', '.join(sorted(chosen)) or 'none'}; add one with +NAME"
        )
    return sorted(chosen)


def chosen(selection: str, roots: Roots, kind: Kind) -> list[str]:
    """select() for the seeds of a campaign, whose slopes are known or not."""
    known = roots.slopes is not None
    return select(selection, roots.x.shape[1:], kind, paired=has_partners(roots), slopes=known)


def expanded(name: str) -> set[str]:
    """The registered mutators that a name in a selection means; InvalidArgument if there is none."""
    if name in MUTATORS:
        return {get(name).name}
    plugin = plugins.loaded("mutator").get(name)
    rows = set(plugin.rows) if plugin else _families().get(normalise(name), set())
    if not rows:
        known = [*MUTATORS.names(), *{get(each).family for each in MUTATORS}]
        offered = name in plugins.installed("mutator")
        end = "; load it with armour.fuzz.plugins.load" if offered else suggest(name, known)
        raise InvalidArgument(f"unknown mutator or family {name!r}{end}")
    return rows


def _want(rows: set[str], kind: Kind) -> str:
    """Why none of these mutators can be used."""
    fitting = [get(row) for row in sorted(rows) if kind.name in get(row).inputs]
    if not fitting:
        return f"which is for {', '.join(sorted({each for row in rows for each in get(row).inputs}))}"
    if fitting[0].needs == SLOPES:
        return "which needs a model with gradients, few classes or seeds enough to hold them"
    if fitting[0].needs:
        return f"which needs {MISSING[fitting[0].needs]}"
    return "which mixes two seeds of a class" if fitting[0].paired else "which needs more channels"


def _families() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    rows: list[tuple[str, Mutator]] = MUTATORS.items()
    for name, row in rows:
        found.setdefault(normalise(row.family), set()).add(name)
    return found
