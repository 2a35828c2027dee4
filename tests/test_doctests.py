"""Examples in docstrings run, by module name: pytest's own collection would import second copies."""

from __future__ import annotations

import doctest
import importlib

import pytest
import sources

# Modules whose text has an example; the others would only make empty tests.
WITH_EXAMPLES = sorted(
    module for module, path in sources.modules().items() if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_run(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0, "the example is in no docstring"
    assert result.failed == 0


def test_there_are_examples() -> None:
    assert "armour" in WITH_EXAMPLES
