"""Certificates: proofs that no input of a ball changes a network's answer, by bounds of its outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias, get_args

import numpy as np

from armour.contract import Model
from armour.defenses.bounds import Queries, Rounding, State, lowest, program_of, region_of, tightened
from armour.defenses.bounds.alpha import optimised
from armour.defenses.bounds.rounding import Precision
from armour.defenses.bounds.tighten import least
from armour.defenses.evidence import DEFENSES, Evidence
from armour.distances import parse_epsilon
from armour.errors import InvalidArgument
from armour.model import ModuleModel
from armour.tensor.core import no_grad, wrap

Method: TypeAlias = Literal["ibp", "crown", "crown-ibp", "alpha-crown"]

CHUNK = 64
"""Samples that are bounded at a time; results do not depend on it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Certificate:
    """What is proved of each sample.

    certified (n,): bool, the class y is the largest logit for every input of the region. lower, upper
    (n, classes): bounds of the logits. margins (n, classes): lower bounds of logit y minus each other logit;
    infinite at y itself. epsilon, norm, method, rounding: as asked.
    """

    certified: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    margins: np.ndarray
    epsilon: float
    norm: str
    method: Method
    rounding: Precision

    def __len__(self) -> int:
        return len(self.certified)


def certify(
    model: Model,
    x: np.ndarray,
    y: np.ndarray,
    *,
    epsilon: float | str,
    norm: str = "linf",
    method: Method = "ibp",
    rounding: Precision = "float32",
) -> Certificate:
    """Prove, where bounds allow it, that every input within epsilon of x has the class y.

    x (n, *input_shape) in the model's bounds; y (n,) true classes. The region of a sample is its ball in
    "linf", "l2" or "l1", within the model's bounds. method: "ibp" (interval bounds, Gowal et al., 2018,
    https://arxiv.org/abs/1810.12715), "crown" (linear bounds of every layer, Zhang et al., 2018,
    https://arxiv.org/abs/1811.00866, intersected with intervals), "crown-ibp" (linear bounds over interval
    bounds, Zhang et al., 2019, https://arxiv.org/abs/1906.06316), "alpha-crown" (CROWN with the slopes below
    the rectifiers optimised for each bound of the last layer, Xu et al., 2021,
    https://arxiv.org/abs/2011.13824; never looser than CROWN).

    Bounds are computed in float64. rounding: what they hold for. "float32": the network evaluated in float32
    in any order of summation, fused or not, with normalisation folded or not, where no step overflows and the
    library's exp and tanh are within 8 units in the last place; not for convolutions by Winograd's or
    Fourier transforms, nor in tf32 or half precision. "float64": the same for evaluation in float64. "none":
    the formulas alone, which are not sound to the last digits. A sample that is not certified is unknown, not
    broken. Raises InvalidArgument, and UnsupportedError naming the operation for a network that has no rule.
    """
    if method not in get_args(Method):
        known = ", ".join(get_args(Method))
        raise InvalidArgument(f"expected method to be one of {known}; got {method!r}")
    budget, allowed = parse_epsilon(epsilon), Rounding(rounding)
    x = model.check_input(x)  # first, since it may tell the model its input shape
    steps = program_of(model)  # type: ignore[arg-type]
    assert isinstance(model, ModuleModel)
    y = model.check_labels(y, len(x))
    k = steps.classes
    lower, upper, margins = (np.empty((len(x), k)) for _ in range(3))
    for i in range(0, len(x), CHUNK):
        part = slice(i, i + CHUNK)
        ball = region_of(x[part], budget, norm, bounds=model.bounds, rounding=allowed)
        with no_grad(), np.errstate(all="ignore"):
            state = tightened(steps, ball, allowed, method=_inner(method))
            lower[part], upper[part] = _logits(state, method)
            margins[part] = _margins(state, y[part], method)
    # What is not a number is no proof.
    proved: np.ndarray = np.asarray((margins > 0).all(axis=1))
    return Certificate(
        certified=proved,
        lower=lower,
        upper=upper,
        margins=margins,
        epsilon=budget,
        norm=norm,
        method=method,
        rounding=rounding,
    )


def _inner(method: Method) -> str:
    return "crown" if method in ("crown", "alpha-crown") else "ibp"


def _logits(state: State, method: Method) -> tuple[np.ndarray, np.ndarray]:
    held = state.found[-1]
    low, high = held.low.data, held.high.data
    if method == "ibp":
        return low, high
    n, k = low.shape
    owner = np.repeat(np.arange(n), k)
    rows = np.tile(np.eye(k), (n, 1))
    below, above = (_least(state, rows * sign, owner, method).reshape(n, k) * sign for sign in (1.0, -1.0))
    return np.fmax(low, below), np.fmin(high, above)


def _margins(state: State, y: np.ndarray, method: Method) -> np.ndarray:
    """(n, k): the last layer merged with the difference of two logits."""
    n, k = len(y), state.program.classes
    others = np.array([[j for j in range(k) if j != label] for label in y]).reshape(n, k - 1)
    owner = np.repeat(np.arange(n), k - 1)
    rows = np.zeros((n * (k - 1), k))
    at = np.arange(n * (k - 1))
    rows[at, np.repeat(y, k - 1)] = 1.0
    rows[at, others.reshape(-1)] = -1.0
    found = _least(state, rows, owner, "ibp")
    if method != "ibp":
        found = np.fmax(found, _least(state, rows, owner, method))
    margins = np.full((n, k), np.inf)
    np.put_along_axis(margins, others, found.reshape(n, k - 1), axis=1)
    return margins


def _least(state: State, rows: np.ndarray, owner: np.ndarray, method: Method) -> np.ndarray:
    queries = Queries(state.program.last, wrap(rows), owner)
    if method == "alpha-crown":
        return least(state, queries, lambda q: optimised(state, q))
    return least(state, queries, lambda q: lowest(state, q, affine_only=method == "ibp"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Method:
    """A method of `certify` with its settings; called with (model, x, y, epsilon=) it certifies.

    norm: "linf", "l2" or "l1". rounding: what the bounds hold for, see certify.
    """

    norm: str = "linf"
    rounding: Precision = "float32"

    method: ClassVar[Method]
    evidence: ClassVar[Evidence]

    def __call__(self, model: Model, x: np.ndarray, y: np.ndarray, *, epsilon: float | str) -> Certificate:
        settings = {"norm": self.norm, "method": self.method, "rounding": self.rounding}
        return certify(model, x, y, epsilon=epsilon, **settings)  # type: ignore[arg-type]


@DEFENSES.register("ibp")
@dataclass(frozen=True, slots=True, kw_only=True)
class IBP(_Method):
    """Interval bounds: fast, and tight for networks trained with them alone."""

    method: ClassVar[Method] = "ibp"
    evidence: ClassVar[Evidence] = Evidence(
        "certified",
        "Gowal et al., 2018, https://arxiv.org/abs/1810.12715",
        "sound for every input of the ball; vacuous for most networks not trained for it",
    )


@DEFENSES.register("crown-ibp")
@dataclass(frozen=True, slots=True, kw_only=True)
class CROWNIBP(_Method):
    """Linear bounds of the last layer over interval bounds of the others."""

    method: ClassVar[Method] = "crown-ibp"
    evidence: ClassVar[Evidence] = Evidence(
        "certified",
        "Zhang et al., 2019, https://arxiv.org/abs/1906.06316",
        "sound for every input of the ball; never looser than interval bounds",
    )


@DEFENSES.register("crown")
@dataclass(frozen=True, slots=True, kw_only=True)
class CROWN(_Method):
    """Linear bounds of every layer, intersected with intervals."""

    method: ClassVar[Method] = "crown"
    evidence: ClassVar[Evidence] = Evidence(
        "certified",
        "Zhang et al., 2018, https://arxiv.org/abs/1811.00866; Xu et al., 2020, "
        "https://arxiv.org/abs/2002.12920",
        "sound for every input of the ball; certifies small budgets of networks trained as usual",
    )


@DEFENSES.register("alpha-crown")
@dataclass(frozen=True, slots=True, kw_only=True)
class AlphaCROWN(_Method):
    """CROWN with optimised slopes: tighter, for some twenty times the last layer's cost."""

    method: ClassVar[Method] = "alpha-crown"
    evidence: ClassVar[Evidence] = Evidence(
        "certified",
        "Xu et al., 2021, https://arxiv.org/abs/2011.13824",
        "sound for every input of the ball; never looser than CROWN",
    )
