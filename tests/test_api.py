"""The public names, written down: adding or removing one is a decision, and shows up here."""

from __future__ import annotations

import importlib
import inspect

import pytest
import sources

import armour

PUBLIC = {
    "armour": """
        ArmourError Bounds Dataset Model Report __version__ attacks criteria data defenses errors fuzz load
        privacy save tensor wrap
    """,
}


def public(module: str) -> list[str]:
    """__all__, or else the names without underscore that are no modules."""
    found = importlib.import_module(module)
    names = getattr(found, "__all__", None)
    if names is None:
        names = [n for n, v in vars(found).items() if not n.startswith("_") and not inspect.ismodule(v)]
    return sorted(set(names) - {"annotations"})


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_public_names(module: str) -> None:
    assert public(module) == sorted(PUBLIC[module].split())


@pytest.mark.parametrize("name", armour.__all__)
def test_every_lazy_name_is_there(name: str) -> None:
    assert getattr(armour, name) is not None
    assert name in dir(armour)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = armour.no_such_name


@pytest.mark.parametrize("package", sorted(sources.packages()))
def test_no_public_name_is_also_a_sub_module(package: str) -> None:
    """Importing the sub-module would set the attribute to the module, and the name would be gone."""
    inside = {m.rpartition(".")[2] for m in sources.modules() if m.rpartition(".")[0] == package}
    clashes = [
        name
        for name in public(package)
        if name in inside and not inspect.ismodule(getattr(importlib.import_module(package), name))
    ]
    assert not clashes
    if package == "armour":
        assert not set(armour._FROM) & inside


def test_the_command_table_names_commands() -> None:
    import click

    from armour.cli.main import COMMANDS, main

    for name, (where, line) in COMMANDS.items():
        command = main.get_command(click.Context(main), name)
        assert isinstance(command, click.Command), where
        assert command.name == name
        assert line.endswith(".")
