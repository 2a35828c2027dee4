"""Files written by PyTorch itself are read, without it, as torch.load(weights_only=True) reads them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from armour.errors import CheckpointError
from armour.formats import kinds

# PyTorch warns of protocols that it writes itself.
pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")
FORMS: dict[str, dict[str, Any]] = {
    "zip": {},
    "zip, protocol 4": {"pickle_protocol": 4},
    "legacy": {"_use_new_zipfile_serialization": False},
    "legacy, protocol 5": {"_use_new_zipfile_serialization": False, "pickle_protocol": 5},
}


def network() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, bias=False), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Linear(8 * 36, 10),
    )  # fmt: skip


def flat(value: Any, name: str = "") -> dict[str, torch.Tensor]:
    """Tensors by dotted name."""
    if isinstance(value, torch.Tensor):
        return {name: value}
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    found: dict[str, torch.Tensor] = {}
    for key, child in items:
        found |= flat(child, f"{name}.{key}" if name else str(key))
    return found


def same(path: Path, form: str) -> None:
    _, arrays, leftovers = kinds.read_arrays(path)
    # PyTorch's own restricted unpickler does not know the frames of protocol 4 and later.
    theirs = flat(torch.load(path, weights_only="protocol" not in form))
    assert list(arrays) == list(theirs)
    for name, tensor in theirs.items():
        wanted = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()
        np.testing.assert_array_equal(arrays[name], wanted, strict=True)
    assert not leftovers.keys() & theirs.keys()


@pytest.mark.parametrize("form", FORMS)
def test_state_dicts(tmp_path: Path, form: str) -> None:
    torch.save(network().state_dict(), tmp_path / "m.pt", **FORMS[form])
    same(tmp_path / "m.pt", form)


@pytest.mark.parametrize("optimiser", [torch.optim.SGD, torch.optim.Adam], ids=lambda o: o.__name__)
@pytest.mark.parametrize("form", FORMS)
def test_ordinary_checkpoints(tmp_path: Path, form: str, optimiser: Any) -> None:
    net = network()
    steps = optimiser(net.parameters(), lr=0.1)
    net(torch.ones(2, 3, 8, 8)).sum().backward()
    steps.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(steps, [1, 2])
    tree = {
        "epoch": 7,
        "state_dict": net.state_dict(),
        "optimizer": steps.state_dict(),
        "best": 0.5,
        "args": None,
        "scheduler": schedule.state_dict(),
    }
    torch.save(tree, tmp_path / "m.pt", **FORMS[form])
    same(tmp_path / "m.pt", form)
    assert kinds.read_arrays(tmp_path / "m.pt")[2]["epoch"] == "7"


@pytest.mark.parametrize("form", FORMS)
def test_every_type_and_view(tmp_path: Path, form: str) -> None:
    base = torch.arange(24, dtype=torch.float32)
    names = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
    if form.startswith("zip"):
        names += ["uint16", "uint32", "uint64"]
    tree: dict[str, Any] = {name: (base > 11).to(getattr(torch, name)) for name in names}
    tree |= {"fine": (base / 7).to(torch.bfloat16).reshape(2, 3, 4)}
    tree |= {"turned": base.reshape(4, 6).T, "part": base[3:9:2], "tied": base, "scalar": base[5]}
    tree |= {
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(base[:2]),
        "list": [base[1:3], {"x": base}],
    }
    torch.save(tree, tmp_path / "m.pt", **FORMS[form])
    same(tmp_path / "m.pt", form)


@pytest.mark.parametrize("form", FORMS)
def test_whole_modules_are_refused_by_name(tmp_path: Path, form: str) -> None:
    torch.save(network(), tmp_path / "m.pt", **FORMS[form])
    with pytest.raises(CheckpointError, match=r"holds code: torch\.nn\.modules\.container\.Sequential"):
        kinds.read_arrays(tmp_path / "m.pt")


def test_torchscript_is_refused_by_name(tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.trace(network(), torch.ones(1, 3, 8, 8)), tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="TorchScript"):
        kinds.read_arrays(tmp_path / "m.pt")


def test_a_sparse_tensor_is_refused_by_name(tmp_path: Path) -> None:
    sparse = torch.eye(3).to_sparse()
    torch.save({"a": sparse}, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match=r"holds code: torch\._utils\._rebuild_sparse_tensor"):
        kinds.read_arrays(tmp_path / "m.pt")
