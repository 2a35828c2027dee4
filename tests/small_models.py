"""A small classifier that needs no training, and a way to compare the corpus folders of two runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from armour.data import load
from armour.model import ModuleModel
from armour.tensor import nn


def digits(n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """The first n of scikit-learn's digits, (n, 1, 8, 8) in (0, 1), and their labels."""
    x, y = load("digits")
    return x[:n], y[:n]


def centroids(
    x: np.ndarray, y: np.ndarray, *, sharpness: float = 4.0, bounds: tuple[float, float] = (0, 1)
) -> ModuleModel:
    """The nearest-mean classifier of x (n, c, h, w) as a network with one hidden layer of ReLU units."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    classes = int(y.max()) + 1
    means = np.stack([flat[y == c].mean(axis=0) for c in range(classes)])
    size = flat.shape[1]
    net = nn.Sequential(nn.Flatten(), nn.Linear(size, size), nn.ReLU(), nn.Linear(size, classes))
    scale = sharpness / (bounds[1] - bounds[0]) ** 2
    low = bounds[0]
    state = {
        "1.weight": np.eye(size),
        "1.bias": np.full(size, -low),
        "3.weight": means * scale,
        "3.bias": scale * (low * means.sum(axis=1) - 0.5 * np.square(means).sum(axis=1)),
    }
    shapes = net.state_dict()
    fitted = {k: np.asarray(v, np.float32).reshape(shapes[k].shape) for k, v in state.items()}
    net.load_state_dict(fitted)
    return ModuleModel(net, bounds=bounds, input_shape=x.shape[1:], num_classes=classes, name="centroids")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file by its path; of what holds wall-clock times only the columns that do not."""
    files = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or name == "stats.json":
            continue
        data = path.read_bytes()
        if name == "plot.csv":
            rows = [line.split(",") for line in data.decode().splitlines()]
            data = "\n".join(",".join([row[0], *row[2:]]) for row in rows).encode()
        files[name] = data
    return files
