"""The generic registry: unique names, forgiving lookup, helpful refusal."""

import pytest

from armour.errors import InvalidArgument
from armour.registry import Registry


@pytest.fixture
def things():
    registry = Registry("thing")
    registry.register("auto-attack")(1)
    registry.register("pgd")(2)
    return registry


def test_lookup_ignores_case_hyphen_and_underscore(things):
    for name in ("auto-attack", "Auto_Attack", "autoattack", "AUTOATTACK"):
        assert things.get(name) == 1
        assert name in things


def test_unknown_name_suggests(things):
    with pytest.raises(InvalidArgument, match="unknown thing 'pdg'; did you mean pgd"):
        things.get("pdg")
    assert "pdg" not in things
    assert 3 not in things


def test_names_are_unique_up_to_spelling(things):
    with pytest.raises(InvalidArgument, match="registered twice"):
        things.register("PGD")


def test_listing_is_sorted(things):
    assert things.names() == list(things) == ["auto-attack", "pgd"]
    assert things.items() == [("auto-attack", 1), ("pgd", 2)]
    assert len(things) == 2
