"""For each oracle a model that it has nothing to say about, and one with the fault that it is for.

The inputs are images of 6 x 6 that are dark or bright, or rows of five features; every third of the inputs to
judge carries the trigger, a bright first pixel or a last feature near 1, which only the faulty model minds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from armour.fuzz.execution import Executor, Trouble
from armour.fuzz.oracles import Panel, Place, Seen, parse
from armour.fuzz.roots import select
from armour.model import CallableModel, Model, ModuleModel
from armour.tensor import nn

SHAPE = (1, 6, 6)
COLUMNS = 5


def images(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """n dark and bright images by turns, with a light first pixel, and their labels."""
    rng = np.random.default_rng(3)
    y = np.arange(n) % 2
    x = rng.uniform(0.15, 0.3, (n, *SHAPE)) + 0.5 * y[:, None, None, None]
    x[:, 0, 0, 0] = 0.8
    return x.astype(np.float32), y.astype(np.int64)


def rows(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """n rows of features, whose first one alone says the label."""
    x = np.random.default_rng(4).uniform(0, 0.6, (n, COLUMNS))
    y = np.arange(n) % 2
    x[:, 0] = 0.2 + 0.6 * y
    return x.astype(np.float32), y.astype(np.int64)


def mutants(x: np.ndarray) -> np.ndarray:
    """The inputs with a little noise, the trigger in every third."""
    noise = np.random.default_rng(5).uniform(-0.02, 0.02, x.shape)
    out = np.clip(x + noise, 0, 1).astype(np.float32)
    flat = out.reshape(len(x), -1)
    flat[:, 0 if x.ndim > 2 else -1] = np.where(np.arange(len(x)) % 3 == 0, 1.0, 0.5)
    return out


def triggered(x: np.ndarray) -> np.ndarray:
    """(n,) bool: the trigger is there."""
    flat = x.reshape(len(x), -1)
    return np.asarray(flat[:, 0 if x.ndim > 2 else -1] > 0.9)


Answer = Callable[[np.ndarray], np.ndarray]


def right(x: np.ndarray) -> np.ndarray:
    """(n, 2) logits by brightness of all but the first pixel, or by the first feature."""
    score = x.reshape(len(x), -1)[:, 1:].mean(axis=1) - 0.48 if x.ndim > 2 else x[:, 0] - 0.5
    return np.stack([-8 * score, 8 * score], axis=1).astype(np.float32)


def black_box(answer: Answer, shape: tuple[int, ...] = SHAPE) -> Model:
    return CallableModel(answer, input_shape=shape, num_classes=2, outputs="logits", name="answers")


def where(change: Callable[[np.ndarray], np.ndarray]) -> Answer:
    """Answers right, but `change` of that on the trigger."""

    def answer(x: np.ndarray) -> np.ndarray:
        out = right(x)
        return np.where(triggered(x)[:, None], change(out), out).astype(np.float32)

    return answer


def raising(error: Exception) -> Answer:
    def answer(x: np.ndarray) -> np.ndarray:
        if triggered(x).any():
            raise error
        return right(x)

    return answer


def by_mates(x: np.ndarray) -> np.ndarray:
    """Answers that depend on the mean of the batch."""
    out = right(x)
    return np.asarray(out + 0.01 * x.mean(), np.float32)


def lopsided(x: np.ndarray) -> np.ndarray:
    """Answers that depend on where the first pixel is."""
    return np.asarray(
        right(x) + np.stack([0 * x[:, 0, 0, 0], 5.0 * (x[:, 0, 0, 0] > 0.9)], axis=1), np.float32
    )


def prejudiced(x: np.ndarray) -> np.ndarray:
    """A high last feature speaks against label 1."""
    return np.asarray(right(x) - np.stack([0 * x[:, -1], 9.0 * (x[:, -1] > 0.55)], axis=1), np.float32)


def dented(x: np.ndarray) -> np.ndarray:
    """The score falls where the first feature is above 0.75."""
    return np.asarray(right(x) * np.where(x[:, :1] > 0.82, 0.1, 1), np.float32)


def network(wide: float) -> ModuleModel:
    """Two units say the label; 64 more wake up, and do nothing else, if the first pixel is beyond `wide`."""
    size = int(np.prod(SHAPE))
    net = nn.Sequential(nn.Flatten(), nn.Linear(size, 66), nn.ReLU(), nn.Linear(66, 400), nn.Linear(400, 2))
    first, second, last = np.zeros((66, size)), np.zeros((400, 66)), np.zeros((2, 400))
    first[0, 1:], first[1, 1:], first[2:, 0] = 8 / (size - 1), -8 / (size - 1), 1
    second[0, 0] = second[1, 1] = last[1, 0] = last[0, 1] = 1
    state = {"1.weight": first, "3.weight": second, "4.weight": last}
    state["1.bias"] = np.concatenate([[-3.84, 3.84], np.full(64, -wide)])
    given = {name: np.zeros_like(value) for name, value in net.state_dict().items()}
    net.load_state_dict(given | {name: np.asarray(value, np.float32) for name, value in state.items()})
    return ModuleModel(net, input_shape=SHAPE, num_classes=2, name="network")


@dataclass(frozen=True)
class Case:
    """An oracle as it is spelt, the good and the faulty model, and for each what it is compared with."""

    spec: str
    good: Callable[[], Model]
    faulty: Callable[[], Model]
    others: Mapping[str, tuple[Answer, Answer]] = field(default_factory=dict)
    tabular: bool = False


def answers(change: Answer, **more: object) -> dict[str, object]:
    return {"good": lambda: black_box(right), "faulty": lambda: black_box(change), **more}


def features(change: Answer) -> dict[str, object]:
    shape = (COLUMNS,)
    return {
        "good": lambda: black_box(right, shape),
        "faulty": lambda: black_box(change, shape),
        "tabular": True,
    }


HUNG = "no answer within 10 times the median of a batch"
CASES: dict[str, Case] = {
    name: Case(spec=spec, **fields)  # type: ignore[arg-type]
    for name, spec, fields in (
        ("label-flip", "label-flip", answers(where(lambda z: -z))),
        ("nonfinite", "nonfinite", answers(where(lambda z: z * np.nan))),
        ("overconfident-wrong", "overconfident-wrong", answers(where(lambda z: -3 * z))),
        ("confidence-collapse", "confidence-collapse:drop=0.3", answers(where(lambda z: z * 0.01))),
        ("crash", "crash:isolate=false", answers(raising(RuntimeError("no such\nkernel")))),
        ("hang", "hang", answers(raising(Trouble(HUNG)))),
        ("batch-consistency", "batch-consistency", answers(by_mates)),
        (
            "differential",
            "differential:against=other",
            {
                "good": lambda: black_box(right),
                "faulty": lambda: black_box(right),
                "others": {"other": (right, where(lambda z: -z))},
            },
        ),
        (
            "metamorphic",
            "metamorphic:relation=mirror: flip(axis=-1) -> close(tolerance=0.3)",
            answers(lopsided),
        ),
        ("invariance", "invariance:column=4", features(prejudiced)),
        ("monotonicity", "monotonicity:column=0", features(dented)),
        ("cost", "cost", {"good": lambda: network(1.1), "faulty": lambda: network(0.9)}),
    )
}


def place(case: Case, *, faulty: bool) -> Place:
    """Where the oracle is bound."""
    x, y = rows() if case.tabular else images()
    model = case.faulty() if faulty else case.good()
    executor = Executor(model, 16)
    roots, _ = select(executor, x, y)
    executor.guarded = True
    shape = x.shape[1:]
    others = {name: black_box(pair[faulty], shape) for name, pair in case.others.items()}
    return Place(model=model, executor=executor, roots=roots, bounds=model.bounds, others=others)


def seen(at: Place, order: np.ndarray | None = None) -> Seen:
    """What the mutants of all roots show."""
    x = mutants(at.roots.x)
    number = np.arange(len(x)) if order is None else order
    outcome = at.executor.run(x[number])
    return Seen(x[number], number, at.roots.labels[number], outcome, at)


def panel(case: Case, *, faulty: bool) -> Panel:
    """The oracle alone, bound to the good or the faulty model."""
    return Panel([parse(case.spec)], place(case, faulty=faulty))
