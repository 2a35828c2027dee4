"""Training: the same bits for the same seed, also after an interruption; other runs are not resumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models
from training_scene import convolutional as network

from armour import training
from armour.bounds import Bounds
from armour.data import Dataset
from armour.errors import CheckpointError, InvalidArgument
from armour.events import Event
from armour.formats import safetensors
from armour.tensor import nn
from armour.training import Epoch, Progress, TrainConfig
from armour.training_method import Judgement

CONFIG = TrainConfig(epochs=4, batch_size=32, lr=0.02, shift=1 / 8)
State = dict[str, np.ndarray]


def digits(n: int = 160, start: int = 0) -> Dataset:
    x, y = small_models.digits(start + n)
    return Dataset(x[start:], y[start:], name="digits")


def finish(run: Generator[Epoch, None, Progress]) -> tuple[list[Epoch], Progress]:
    epochs = []
    while True:
        try:
            epochs.append(next(run))
        except StopIteration as end:
            return epochs, end.value


def fit(
    net: nn.Module | None = None,
    train: Dataset | None = None,
    validation: Dataset | None = None,
    config: TrainConfig = CONFIG,
    rng: Any = 7,
    **options: Any,
) -> tuple[list[Epoch], Progress, State]:
    net = network() if net is None else net
    train = digits() if train is None else train
    validation = digits(60, 160) if validation is None else validation
    epochs, progress = finish(training.fit(net, train, validation, config, rng, **options))
    assert not net.training
    return epochs, progress, net.state_dict()


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def without_time(epochs: list[Epoch]) -> list[Epoch]:
    return [replace(epoch, seconds=0.0) for epoch in epochs]


# -- determinism -------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    epochs, progress, state = fit()
    again, progress_again, state_again = fit()
    assert same(state, state_again) and progress == progress_again
    assert without_time(epochs) == without_time(again)
    _, _, generator = fit(rng=np.random.default_rng(7))
    assert same(state, generator)
    _, _, other = fit(rng=8)
    assert not same(state, other)


def test_it_learns_and_keeps_the_best_epoch() -> None:
    epochs, progress, state = fit(
        train=digits(400), config=replace(CONFIG, epochs=6), validation=digits(100, 400)
    )
    assert progress.done == 6 and epochs[-1].number == 6 and epochs[-1].loss < 0.7 * epochs[0].loss
    accuracies = [epoch.accuracy for epoch in epochs]
    assert progress.best_accuracy == max(accuracies) > 0.7
    last = max(i for i, a in enumerate(accuracies) if a == max(accuracies))
    assert progress.best_epoch == last + 1, "of equals the later one"
    net = network()
    net.load_state_dict(state)
    kept = digits(100, 400)
    assert np.mean(net.eval()(kept.x).numpy().argmax(axis=1) == kept.y) == progress.best_accuracy


def test_the_normalisation_is_in_front_of_the_network() -> None:
    seen: list[np.ndarray] = []
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    net.register_forward_hook(lambda module, inputs, out: seen.append(inputs[0].data))
    config = replace(CONFIG, epochs=1, shift=0)
    train = digits(32)
    fit(net, train, config=config, mean=(0.25,), std=(0.5,))
    batch = seen[0].reshape(32, -1)
    wanted = ((train.x - np.float32(0.25)) / np.float32(0.5)).reshape(32, -1)
    np.testing.assert_allclose(np.sort(batch, axis=0), np.sort(wanted, axis=0), atol=1e-6)


def test_normalisation_of_images_is_per_channel() -> None:
    x = np.random.default_rng(0).uniform(0, 1, (50, 3, 4, 4)).astype(np.float32) * [[[[0.1]], [[1]], [[0]]]]
    mean, std = training.normalisation(x.astype(np.float32))
    np.testing.assert_allclose(mean, x.mean(axis=(0, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(std[:2], x.std(axis=(0, 2, 3))[:2], atol=1e-6)
    assert std[2] == 1e-3, "a constant channel is not divided by 0"
    assert [len(part) for part in training.normalisation(x.reshape(50, -1))] == [1, 1]


# -- interruption ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("done", [1, 2, 3])
def test_a_run_that_was_left_ends_with_the_same_bits(tmp_path: Path, done: int) -> None:
    whole, progress, state = fit()
    file = tmp_path / "run.train"
    run = training.fit(network(), digits(), digits(60, 160), CONFIG, 7, state=file)
    first = [next(run) for _ in range(done)]
    run.close()  # what is left of a killed process is the file
    rest, resumed, again = fit(network(rng=99), state=file, resume=True)
    assert same(state, again) and resumed == progress
    assert without_time(first + rest) == without_time(whole)


def test_a_finished_run_is_resumed_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "run.train"
    _, progress, state = fit(state=file)
    epochs, again, state_again = fit(network(rng=99), state=file, resume=True)
    assert epochs == [] and again == progress and same(state, state_again)


def test_without_resume_or_without_a_file_it_starts_anew(tmp_path: Path) -> None:
    file = tmp_path / "run.train"
    _, _, state = fit()
    assert same(state, fit(state=file, resume=True)[2]), "there was no file"
    assert len(fit(state=file)[0]) == 4


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "configuration": ({"config": replace(CONFIG, lr=0.01)}, "configuration"),
    "length": ({"config": replace(CONFIG, epochs=9)}, "configuration"),
    "data": ({"train": digits(159)}, "data set"),
    "labels": ({"train": Dataset(digits().x, np.roll(digits().y, 1))}, "data set"),
    "validation": ({"validation": digits(59, 160)}, "data set"),
    "normalisation": ({"mean": (0.5,)}, "data set"),
    "seed": ({"rng": 8}, "seed"),
    "network": ({"net": nn.Sequential(nn.Flatten(), nn.Linear(64, 10))}, "network"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_run_with_other_settings_is_not_resumed(tmp_path: Path, name: str) -> None:
    options, what = OTHERS[name]
    file = tmp_path / "run.train"
    next(training.fit(network(), digits(), digits(60, 160), CONFIG, 7, state=file))
    raw = file.read_bytes()
    with pytest.raises(InvalidArgument, match=f"of a run with another {what}") as caught:
        fit(**options, state=file, resume=True)
    assert "\n" not in str(caught.value) and str(file) in str(caught.value)
    assert file.read_bytes() == raw


def _head(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    def apply(raw: bytes) -> bytes:
        arrays = safetensors.parse(raw, "state")
        tree = json.loads(arrays["head"].tobytes())
        change(tree)
        arrays["head"] = np.frombuffer(json.dumps(tree).encode(), np.uint8)
        return safetensors.dump(arrays)

    return apply


def _arrays(change: Callable[[State], Any]) -> Callable[[bytes], bytes]:
    def apply(raw: bytes) -> bytes:
        arrays = safetensors.parse(raw, "state")
        change(arrays)
        return safetensors.dump(arrays)

    return apply


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda raw: b"",
    "text": lambda raw: b"hello",
    "half": lambda raw: raw[: len(raw) // 2],
    "no head": _arrays(lambda a: a.pop("head")),
    "head of floats": _arrays(lambda a: a.update(head=np.ones(5))),
    "a part that is not known": _arrays(lambda a: a.update(other=np.ones(5))),
    "a weight gone": _arrays(lambda a: a.pop("now.0.weight")),
    "a weight of another shape": _arrays(lambda a: a.update({"best.0.weight": np.ones(3, np.float32)})),
    "optimiser gone": _arrays(lambda a: [a.pop(k) for k in list(a) if k.startswith("optimiser.")]),
    "no progress": _head(lambda t: t.pop("progress")),
    "progress of text": _head(lambda t: t["progress"].update(done="2")),
    "progress below 0": _head(lambda t: t["progress"].update(done=-2)),
    "progress with more": _head(lambda t: t["progress"].update(more=1)),
    "identity of a list": _head(lambda t: t.update(identity=[])),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_state_is_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "run.train"
    next(training.fit(network(), digits(), digits(60, 160), CONFIG, 7, state=file))
    file.write_bytes(DAMAGED[name](file.read_bytes()))
    with pytest.raises((CheckpointError, InvalidArgument)) as caught:
        fit(state=file, resume=True)
    text = str(caught.value)
    assert str(file) in text and "\n" not in text


def test_an_error_while_the_state_is_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "run.train"
    run = training.fit(network(), digits(), digits(60, 160), CONFIG, 7, state=file)
    next(run)
    raw = file.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        next(run)
    assert file.read_bytes() == raw and list(tmp_path.iterdir()) == [file]


# -- early stop, shifts, refusals --------------------------------------------------------------------------


def scripted(monkeypatch: pytest.MonkeyPatch, accuracies: list[float]) -> None:
    """Validation accuracies as listed, whatever the network does."""
    left = iter(accuracies)

    def judged(self: Any) -> tuple[float, Judgement]:
        accuracy = next(left)
        return accuracy, Judgement(score=accuracy)

    monkeypatch.setattr(training._Run, "judged", judged)


@pytest.mark.parametrize(
    ("accuracies", "patience", "done", "best"),
    [
        ([0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98], 0.25, 8, 8),
        ([0.5, 0.4, 0.4, 0.4, 0.9, 0.9, 0.9, 0.9], 0.25, 4, 1),
        ([0.5, 0.4, 0.6, 0.4, 0.4, 0.4, 0.9, 0.9], 0.25, 6, 3),
        ([0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], 0.25, 8, 8),
        ([0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4], 1.0, 8, 1),
        ([0.5, 0.4, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6], 0.0, 2, 1),
    ],
)
def test_early_stop(
    monkeypatch: pytest.MonkeyPatch, accuracies: list[float], patience: float, done: int, best: int
) -> None:
    scripted(monkeypatch, accuracies)
    states: list[State] = []
    net = network()
    config = replace(CONFIG, epochs=8, patience=patience)
    run = training.fit(net, digits(32), digits(8, 40), config, 0)
    while True:
        try:
            epoch = next(run)
        except StopIteration as end:
            progress: Progress = end.value
            break
        states.append(net.state_dict())
        assert epoch.accuracy == accuracies[epoch.number - 1]
    assert (progress.done, progress.best_epoch, progress.finished) == (done, best, True)
    assert same(net.state_dict(), states[best - 1])


def test_shifts_move_whole_images_by_whole_pixels(rng: np.random.Generator) -> None:
    x = rng.uniform(0.1, 1, (400, 2, 8, 6)).astype(np.float32)
    moved = training.shifted(x, 0.25, -1.0, rng)
    assert moved.shape == x.shape and moved.dtype == x.dtype
    seen = set()
    for before, after in zip(x, moved, strict=True):
        found = []
        for dy in range(-2, 3):
            for dx in range(-1, 2):
                wanted = np.full_like(before, -1.0)
                ys, xs = slice(max(dy, 0), 8 + min(dy, 0)), slice(max(dx, 0), 6 + min(dx, 0))
                yf, xf = slice(max(-dy, 0), 8 + min(-dy, 0)), slice(max(-dx, 0), 6 + min(-dx, 0))
                wanted[:, ys, xs] = before[:, yf, xf]
                if np.array_equal(wanted, after):
                    found.append((dy, dx))
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) == 15, "every shift of up to 2 and 1 pixels, and no other"


def test_what_is_not_shifted(rng: np.random.Generator) -> None:
    flat, small = np.ones((4, 9), np.float32), np.ones((4, 1, 8, 8), np.float32)
    assert training.shifted(flat, 0.5, 0, rng) is flat
    assert training.shifted(small, 0.1, 0, rng) is small, "less than a pixel"
    assert training.shifted(small[:0], 0.5, 0, rng).shape == (0, 1, 8, 8)
    assert training.shifted(np.ones((1, 1, 14, 14)), 1 / 14, 0, rng).shape == (1, 1, 14, 14)


def test_validation_samples_are_neither_shifted_nor_trained_on() -> None:
    train = digits()
    _, _, state = fit(validation=digits(60, 160), config=replace(CONFIG, epochs=1))
    _, _, other = fit(validation=digits(60, 220), config=replace(CONFIG, epochs=1))
    assert same(state, other), "the weights of an epoch do not depend on what is held out"
    assert len(train) == 160


def test_a_transform_sees_each_batch_and_is_part_of_what_is_learnt() -> None:
    seen = []

    def invert(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        seen.append((x.shape, y.shape, rng.random()))
        return np.asarray(1 - x)

    _, _, state = fit(transform=invert)
    assert [shape for shape, _, _ in seen] == [(32, 1, 8, 8)] * 20 and len({r for _, _, r in seen}) == 20
    assert not same(state, fit()[2])
    assert same(state, fit(transform=invert)[2])


def test_events_count_steps() -> None:
    events: list[Event] = []
    fit(on_event=events.append)
    assert [e.done for e in events] == list(range(1, 21)) and {e.total for e in events} == {20}
    assert {e.stage for e in events} == {"train"} and events[-1].values.keys() == {"loss", "validation"}


def test_vectors_are_trained_on_too() -> None:
    data, held = digits(), digits(60, 160)
    net = nn.Sequential(nn.Linear(64, 10))
    epochs, _, _ = fit(
        net,
        Dataset(data.x.reshape(160, -1), data.y),
        Dataset(held.x.reshape(60, -1), held.y),
    )
    assert epochs[-1].accuracy > 0.5


def test_bad_settings_and_data() -> None:
    for options in (
        {"epochs": 0},
        {"lr": 0},
        {"lr": float("nan")},
        {"shift": 2},
        {"patience": -1},
        {"batch_size": 0},
    ):
        with pytest.raises(InvalidArgument):
            TrainConfig(**options)  # type: ignore[arg-type]
    empty = digits()[:0]
    with pytest.raises(InvalidArgument, match="expected samples to train"):
        fit(train=empty)
    with pytest.raises(InvalidArgument, match="expected samples to train"):
        fit(validation=empty)
    with pytest.raises(InvalidArgument, match=r"diverged in epoch 1.*lower rate"):
        fit(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), config=replace(CONFIG, lr=1e38))


def test_recipes_take_changes() -> None:
    assert training.recipe("mlp") == training.RECIPES["mlp"]
    assert training.recipe("mlp", epochs=3, lr=None) == replace(training.RECIPES["mlp"], epochs=3)
    assert training.recipe("unknown") == TrainConfig()
    assert Bounds() == digits(1).bounds
