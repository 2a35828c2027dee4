"""Training a network on with failures, or with what a control has instead, from the weights it has."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from armour import formats, training
from armour.data import Dataset
from armour.errors import FormatError, Interrupted, UnsupportedError
from armour.events import OnEvent
from armour.model import Model, ModuleModel
from armour.training import TrainConfig


def check_trainable(model: Model) -> None:
    """UnsupportedError, in one line, for a model that cannot be trained on."""
    advice = "retrain it where it was made, with the failures that `armour corpus export` writes"
    if not isinstance(model, ModuleModel):
        raise UnsupportedError(f"{model.name} is no network that armour can train; {advice}")
    if not model.preprocessing.only_normalises or model.outputs.kind != "logits" or model.outputs.single:
        raise UnsupportedError(
            f"expected a network with normalised inputs and logits, got {model.name} with "
            f"{model.provenance.get('outputs', 'other outputs')} or more preprocessing; {advice}"
        )
    if model.device != "cpu":
        raise UnsupportedError(
            f"training runs on the processor, got a model on {model.device}; use --device cpu"
        )
    if not model.can_grad or not any(True for _ in model.module.named_parameters()):
        raise UnsupportedError(f"{model.name} has no weights with gradients; {advice}")


def retrained(
    model: ModuleModel,
    name: str,
    fitting: Dataset,
    validation: Dataset,
    config: TrainConfig,
    rng: np.random.Generator,
    folder: Path,
    facts: dict[str, Any],
    on_event: OnEvent,
) -> tuple[ModuleModel, tuple[int, int]]:
    """A copy of `model`, trained on, and the numbers of epochs it was trained and kept at.

    It is in folder/NAME.ckpt, with `facts` in its provenance; if that is there, it is what is returned. The
    state after each epoch is in folder/NAME.train, and is gone on with. Raises Interrupted on Ctrl-C.
    """
    path, state = folder / f"{name}.ckpt", folder / f"{name}.train"
    if path.is_file():
        done = formats.load(path)
        known = done.provenance.get("hardening")
        known = known if isinstance(known, dict) else {}
        epochs, best = known.get("epochs"), known.get("best_epoch")
        if not (isinstance(done, ModuleModel) and isinstance(epochs, int) and isinstance(best, int)):
            raise FormatError(f"{path} is no checkpoint of this run; delete it and go on with --resume")
        return done, (epochs, best)
    module = copy.deepcopy(model.module)
    running = training.fit(
        module,
        fitting,
        validation,
        config,
        rng,
        mean=model.mean,
        std=model.std,
        state=state,
        resume=True,
        on_event=on_event,
    )
    with resumable():
        progress = _last(running)
    new = ModuleModel(
        module,
        preprocessing=model.preprocessing,
        graph=model.graph,
        outputs="logits",
        bounds=model.bounds,
        input_shape=model.input_shape,
        num_classes=model.num_classes,
        class_names=model.class_names,
        name=f"{model.name}-{name}",
    )
    new.provenance.update({key: model.provenance[key] for key in ("arch", "data") if key in model.provenance})
    numbers = {"epochs": progress.done, "best_epoch": progress.best_epoch}
    new.provenance["hardening"] = {"role": name, "samples": len(fitting), **facts, **numbers}
    formats.save(new, path)
    state.unlink(missing_ok=True)
    return new, (progress.done, progress.best_epoch)


@contextmanager
def resumable() -> Iterator[None]:
    """Ctrl-C inside becomes Interrupted, which says that everything so far is kept."""
    try:
        yield
    except KeyboardInterrupt:
        raise interrupted() from None


def interrupted() -> Interrupted:
    """What Ctrl-C ends hardening with."""
    return Interrupted(
        "hardening was interrupted; what is finished is kept, go on with the same command and --resume"
    )


def _last(epochs: Generator[training.Epoch, None, training.Progress]) -> training.Progress:
    """Run the generator to its end; its return value."""
    while True:
        try:
            next(epochs)
        except StopIteration as end:
            progress: training.Progress = end.value
            return progress
