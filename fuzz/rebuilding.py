"""Rebuilding the failing inputs of a corpus from their recipes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from armour.errors import FormatError, InvalidArgument

from .partners import Partners
from .reading import Corpus
from .recipe import Recipe, Step, apply_steps


def rebuilt(
    corpus: Corpus, records: Sequence[dict[str, Any]]
) -> tuple[np.ndarray, np.ndarray, list[tuple[Step, ...]]]:
    """Inputs and references (n, *shape) of n records of failures/index.jsonl, and the steps that made them.

    FormatError for a record that contradicts itself.
    """
    recipes = [_recipe(corpus, record) for record in records]
    root = np.array([recipe.root for recipe in recipes], np.int64)
    origin, steps = corpus.roots.x[root], [recipe.steps for recipe in recipes]
    partners = Partners(corpus.roots, root)
    x, ref = apply_steps(origin, origin, steps, corpus.bounds, kind=corpus.kind, partners=partners)
    return x, ref, steps


def _recipe(corpus: Corpus, record: dict[str, Any]) -> Recipe:
    path = corpus.folder / "failures" / "index.jsonl"
    try:
        recipe = Recipe.parse(record["recipe"])
    except InvalidArgument as error:
        raise FormatError(f"{path}: failure {record['id']}: {error}") from error
    if recipe.root != record["root"]:
        raise FormatError(f"{path}: failure {record['id']} contradicts itself; the corpus is damaged")
    return recipe
