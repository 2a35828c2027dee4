"""What happens to a user's inputs before a network sees them: recorded with the model, and inside it.

Epsilons, bounds and gradients are therefore always in the user's units, whatever the network was made for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np

from armour.checks import count, describe, one_of
from armour.errors import InvalidArgument
from armour.tensor import cast, clip, custom_vjp, flip, interpolate, round, transpose
from armour.tensor.backend import Array, to_device
from armour.tensor.core import Tensor, wrap

LAYOUTS = ("NCHW", "NHWC")
CHANNELS = ("rgb", "bgr")
FLOATS = ("float32", "float64", "float16")
DTYPES = (*FLOATS, "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
MAX_CHANNELS = 1 << 16
MAX_SIDE = 8_192  # of what an image is resized to
MAX_WEIGHTS = 1 << 24  # of the matrix that resizes one axis
MAX_NUMBER, MIN_STD = 1e9, 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """Steps from what users give, (n, *input_shape) in the model's bounds, to what a network takes.

    In this order: resize (bilinear, half-pixel centres, without antialiasing), channels, scale, mean and std,
    dtype, layout.

    scale: what the values are multiplied by (255 when users speak 0..1 and the network was made for 0..255).
    mean, std: in the network's units, after scale: the network sees (scale * x - mean) / std; one number, or
    one for each channel in the order of the network's channels. layout: "NCHW", or "NHWC" if the network
    takes the channels last; users always give (n, c, h, w). channels: "bgr" reverses the channels. resize:
    (height, width) that the network takes. dtype: what the network takes; with an integer type the values
    are rounded (halves to even), clipped to the type's range and cast, and the gradient passes straight
    through the rounding (Bengio et al., 2013, https://arxiv.org/abs/1308.3432) unless straight_through is
    False: then it is zero. Raises InvalidArgument for anything else.
    """

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: str = "NCHW"
    channels: str = "rgb"
    resize: tuple[int, int] | None = None
    dtype: str = "float32"
    straight_through: bool = True

    def __post_init__(self) -> None:
        scale = numbers("scale", self.scale)
        if len(scale) != 1 or scale[0] == 0:
            raise InvalidArgument(f"expected scale to be a number other than 0, got {self.scale!r}")
        mean, std = numbers("mean", self.mean), numbers("std", self.std)
        if any(s < MIN_STD for s in std):
            raise InvalidArgument(f"expected std above 0, got {describe('std', self.std)}")
        if len(mean) > 1 and len(std) > 1 and len(mean) != len(std):
            raise InvalidArgument(f"expected as many means as deviations, got {len(mean)} and {len(std)}")
        layout, channels = str(self.layout).upper(), str(self.channels).lower()
        checked = {"scale": scale[0], "mean": mean, "std": std}
        checked |= {"layout": one_of("layout", layout, LAYOUTS)}
        checked |= {"channels": one_of("channels", channels, CHANNELS)}
        checked |= {"resize": None if self.resize is None else _sides(self.resize)}
        checked |= {"dtype": one_of("dtype", self.dtype, DTYPES)}
        if not isinstance(self.straight_through, bool):
            raise InvalidArgument(f"expected straight_through True or False, got {self.straight_through!r}")
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def identity(self) -> bool:
        """True if nothing is done to the inputs."""
        return self == Preprocessing()

    @property
    def only_normalises(self) -> bool:
        """True if nothing is done but subtracting the mean and dividing by the deviation."""
        return self == Preprocessing(mean=self.mean, std=self.std)

    def network_shape(self, input_shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of one sample that the network takes, for users' samples of input_shape.

        Raises InvalidArgument if such samples cannot be preprocessed so: not images (c, h, w) where images
        are needed, another number of channels than means, or a resize too large to be carried out.
        """
        shape = tuple(int(d) for d in input_shape)
        if len(shape) != 3 and (self.resize is not None or self.layout != "NCHW"):
            what = "resize" if self.resize is not None else "layout"
            raise InvalidArgument(f"expected images (c, h, w) for {what}, got input_shape={shape}")
        if self.channels != "rgb" and (len(shape) < 2 or shape[0] not in (3, 4)):
            raise InvalidArgument(f"expected 3 or 4 channels for channels='bgr', got input_shape={shape}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) > 1 and (not shape or len(values) != shape[0]):
                wanted = shape[0] if shape else 1
                raise InvalidArgument(
                    f"expected {wanted} values for {name} per channel, got {describe(name, values)}"
                )
        if self.resize is not None:
            if any(old * new > MAX_WEIGHTS for old, new in zip(shape[1:], self.resize, strict=True)):
                raise InvalidArgument(f"expected a smaller resize than {shape} to {self.resize}")
            shape = (shape[0], *self.resize)
        return (*shape[1:], shape[0]) if self.layout == "NHWC" else shape

    def apply(self, x: Tensor) -> Tensor:
        """What the network takes, for x (n, *input_shape); differentiable, in rows of the op table."""
        if self.resize is not None:
            x = interpolate(x, self.resize, mode="bilinear")
        if self.channels == "bgr":
            x = flip(x, 1)
        x = self._affine(x)
        if self.dtype not in FLOATS:
            x = _straight(x, dtype=self.dtype) if self.straight_through else to_integers(x, self.dtype)
        elif self.dtype != "float32":  # the engine's own; float64 inputs stay so, to check gradients
            x = x.astype(self.dtype)
        return transpose(x, (0, 2, 3, 1)) if self.layout == "NHWC" else x

    def apply_array(self, x: np.ndarray) -> np.ndarray:
        """`apply` for an array on the host, for networks that are not ours."""
        from armour.tensor.core import no_grad

        with no_grad(), np.errstate(all="ignore"):
            return np.ascontiguousarray(self.apply(wrap(x)).data)

    def _affine(self, x: Tensor) -> Tensor:
        if self.scale == 1 and self.mean == (0.0,) and self.std == (1.0,):
            return x
        dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
        factor, offset = _constants(self.scale, self.mean, self.std, x.ndim, dtype.name, x.device)
        moved: Tensor = x * wrap(factor) + wrap(offset)
        return moved

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values of all fields; from_dict gives the same Preprocessing again."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, tree: Any) -> Preprocessing:
        """From what to_dict gave; the tree may come from anywhere. Raises InvalidArgument."""
        if not isinstance(tree, Mapping):
            raise InvalidArgument(f"expected preprocessing as an object, got {type(tree).__name__}")
        kinds: dict[str, Any] = {
            "mean": list,
            "std": list,
            "resize": list,
            "scale": (int, float),
            "straight_through": bool,
        }
        known = [field.name for field in fields(cls)]
        for key, value in tree.items():
            if key not in known:
                raise InvalidArgument(
                    f"unknown step {ascii(key)[:40]} of preprocessing; expected some of {', '.join(known)}"
                )
            if not isinstance(value, kinds.get(key, str)) and not (key == "resize" and value is None):
                raise InvalidArgument(f"{key} of preprocessing is not what it must be: {ascii(value)[:60]}")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in tree.items()}
        return cls(**values)

    def __str__(self) -> str:
        parts = [] if self.resize is None else [f"resized to {self.resize[0]} x {self.resize[1]}"]
        parts += ["channels reversed (bgr)"] if self.channels == "bgr" else []
        parts += [f"times {self.scale:g}"] if self.scale != 1 else []
        if self.mean != (0.0,) or self.std != (1.0,):
            mean, std = (", ".join(f"{v:g}" for v in values) for values in (self.mean, self.std))
            parts.append(f"minus {mean}, divided by {std}")
        through = "" if self.straight_through or self.dtype in FLOATS else " (no gradient)"
        parts += [f"as {self.dtype}{through}"] if self.dtype != "float32" else []
        parts += ["channels last (NHWC)"] if self.layout == "NHWC" else []
        return ", ".join(parts) or "none"


def joined(preprocessing: Preprocessing | None, mean: Any = None, std: Any = None) -> Preprocessing:
    """The preprocessing, or one of mean and std alone; InvalidArgument if both ways are used."""
    if preprocessing is None:
        mean, std = (
            numbers("mean", 0.0 if mean is None else mean),
            numbers("std", 1.0 if std is None else std),
        )
        return Preprocessing(mean=mean, std=std)
    if not isinstance(preprocessing, Preprocessing):
        raise InvalidArgument(f"expected a Preprocessing, got {describe('preprocessing', preprocessing)}")
    if mean is not None or std is not None:
        raise InvalidArgument("expected mean and std inside preprocessing, got both; state them once")
    return preprocessing


def numbers(name: str, value: Any) -> tuple[float, ...]:
    """A finite number, or a row of them, as a tuple; InvalidArgument otherwise."""
    try:
        found = np.asarray(value)
        plain = found.ndim <= 1 and 0 < found.size <= MAX_CHANNELS and found.dtype.kind in "fiu"
        row = found.astype(np.float64).reshape(-1) if plain else found
    except (TypeError, ValueError, OverflowError):
        plain = False
    if not plain or not (np.abs(row) <= MAX_NUMBER).all():
        raise InvalidArgument(f"expected a finite number, or one per channel, got {describe(name, value)}")
    return tuple(float(v) for v in row)


def _sides(value: Any) -> tuple[int, int]:
    try:
        height, width = (count("resize", side) for side in value)
    except (TypeError, ValueError):
        raise InvalidArgument(
            f"expected resize=(height, width) such as (224, 224), got {describe('resize', value)}"
        ) from None
    if max(height, width) > MAX_SIDE:
        raise InvalidArgument(
            f"expected sides of at most {MAX_SIDE:,} pixels, got resize=({height}, {width})"
        )
    return height, width


@lru_cache(maxsize=64)
def _constants(
    scale: float, mean: tuple[float, ...], std: tuple[float, ...], ndim: int, dtype: str, device: str
) -> tuple[Array, Array]:
    """(scale / std, -mean / std), which broadcast over a batch of `ndim` axes."""
    shape = (-1,) + (1,) * (ndim - 2)
    means, deviations = (np.asarray(v, dtype).reshape(shape if len(v) > 1 else (1,)) for v in (mean, std))
    pair = np.asarray(scale, dtype) / deviations, -means / deviations
    for array in pair:
        array.flags.writeable = False
    return to_device(pair[0], device), to_device(pair[1], device)


@lru_cache(maxsize=16)
def _range(name: str) -> tuple[float, float]:
    """The type's range, as far as float32 can state it without passing its end."""
    info = np.iinfo(name)
    high = np.float32(info.max)
    return float(info.min), float(high if int(high) <= info.max else np.nextafter(high, np.float32(0)))


def to_integers(x: Tensor, dtype: str) -> Tensor:
    """x rounded, clipped to the range of the integer type, and cast to it; without a gradient."""
    low, high = _range(dtype)
    return cast(clip(round(x), low, high), dtype)


_straight = custom_vjp(to_integers, lambda g, y, x, dtype: g)
