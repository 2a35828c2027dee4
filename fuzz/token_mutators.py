"""Mutators of token sequences that know their vocabulary: synonyms, spellings, unknown tokens, cut ends.

Those that need no such knowledge (replace, swap, insert, delete, copied and spliced pieces) are in
fuzz/whole_mutators.py and fuzz/array_mutators.py. Shares are of all places, of which only fitting ones are
taken.
"""

from __future__ import annotations

import math

from armour.bounds import Bounds
from armour.rng import Streams
from armour.tensor.backend import Array, get_xp

from .array_mutators import block, gathered, settled
from .mutators import Param, mutator
from .tokens import Pairs, Tokens

TOKENS = ("tokens",)
MOST = 0.05  # share of the places that one step changes, at most: what V2 lets pass


@mutator("synonym", "synonym", Param("share", 0.0, MOST), inputs=TOKENS, needs="synonyms")
def _synonym(x: Array, p: Array, streams: Streams, bounds: Bounds, tokens: Tokens) -> Array:
    return _replaced(x, p[0], streams, bounds, tokens.synonyms)


@mutator("respell", "spelling", Param("share", 0.0, MOST), inputs=TOKENS, needs="spellings")
def _respell(x: Array, p: Array, streams: Streams, bounds: Bounds, tokens: Tokens) -> Array:
    """Case, homoglyphs, accents, a letter left out or two swapped, where the vocabulary has the result."""
    return _replaced(x, p[0], streams, bounds, tokens.spellings)


@mutator("unknown", "unknown", Param("share", 0.0, MOST), inputs=TOKENS, needs="unknown")
def _unknown(x: Array, p: Array, streams: Streams, bounds: Bounds, tokens: Tokens) -> Array:
    """Some tokens become the unknown one."""
    xp = get_xp(x)
    flat = x.reshape(len(x), math.prod(x.shape[1:]))
    able = (flat != tokens.unknown) & (flat != tokens.padding)
    chosen = chosen_of(able, p[0], streams).reshape(x.shape)
    return settled(x, xp.where(chosen, x.dtype.type(tokens.unknown), x), p[0] != 0, bounds)


@mutator("truncate", "truncation", Param("length", 0.0, MOST), inputs=TOKENS, needs="padding")
def _truncate(x: Array, p: Array, streams: Streams, bounds: Bounds, tokens: Tokens) -> Array:
    """The last tokens before the padding become padding."""
    xp = get_xp(x)
    flat = x.reshape(len(x), math.prod(x.shape[1:]))
    size = flat.shape[1]
    at = xp.arange(size)[None]
    # One past the last token that is no padding; at least one token stays.
    end = xp.where(flat != tokens.padding, at + 1, 0).max(axis=1)
    start = xp.maximum(end - xp.ceil(p[0] * size).astype(xp.int64), xp.minimum(end, 1))
    cut = (at >= start[:, None]) & (at < end[:, None])
    out = xp.where(cut, x.dtype.type(tokens.padding), flat).reshape(x.shape)
    return settled(x, out, p[0] != 0, bounds)


@mutator("repeat", "edit", Param("length", 0.0, 0.02), inputs=TOKENS, geometric=True)
def _repeat(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    """Some tokens in a row come twice; what follows moves back, and the last ones are lost."""
    xp = get_xp(x)
    count, start = block(x, p[0], streams)
    at = xp.arange(x.shape[-1])[None]
    after = at >= (start + count)[:, None]
    return settled(x, gathered(x, xp.where(after, at - count[:, None], at)), count > 0, bounds)


def chosen_of(able: Array, share: Array, streams: Streams, most: float = MOST) -> Array:
    """Bool (m, size): places drawn where `able`, about `share` of all, at least one if any; advances streams.

    A larger share of the same streams chooses the same places and more.
    """
    xp = get_xp(able)
    m, size = able.shape
    count = min(size, max(1, math.ceil(most * size)))
    lot = xp.where(able, xp.asarray(streams.uniform((size,))), xp.float32(2))
    order = xp.argsort(lot, axis=1)[:, :count]
    taken = (xp.arange(count)[None] < xp.ceil(share * size)[:, None]) & xp.take_along_axis(
        able, order, axis=1
    )
    mask = xp.zeros((m, size), dtype=bool)
    mask[xp.arange(m)[:, None], order] = taken
    return mask


def _replaced(x: Array, share: Array, streams: Streams, bounds: Bounds, pairs: Pairs) -> Array:
    xp = get_xp(x)
    flat = x.reshape(len(x), math.prod(x.shape[1:]))
    start, to = xp.asarray(pairs.start), xp.asarray(pairs.to)
    known = (flat >= 0) & (flat < len(start) - 1)
    token = xp.where(known, flat, 0).astype(xp.int64)
    first = start[token]
    count = xp.where(known, start[token + 1] - first, 0)
    chosen = chosen_of(count > 0, share, streams)
    pick = xp.floor(xp.asarray(streams.child(1).uniform((flat.shape[1],))) * count).astype(xp.int64)
    new = to[xp.minimum(first + pick, len(to) - 1)].astype(x.dtype)
    inside = (new >= bounds.low) & (new <= bounds.high)
    return settled(x, xp.where(chosen & inside, new, flat).reshape(x.shape), share != 0, bounds)
