"""VGG-11 to 19, with or without batch normalisation, with three dense layers or in CIFAR's form with one."""

from __future__ import annotations

from itertools import groupby

from armour.formats.entries import Entries
from armour.formats.recognise import FAMILIES, Found, Part, Shape, Stack, arranged, chained, image, parts
from armour.tensor import nn

_WIDTHS = (64, 128, 256, 512)
_DEPTHS: dict[Shape, int] = {
    (1, 1, 2, 2, 2): 11,
    (2, 2, 2, 2, 2): 13,
    (2, 2, 3, 3, 3): 16,
    (2, 2, 4, 4, 4): 19,
}


@FAMILIES.register("vgg")
def vgg(entries: Entries, input_shape: Shape | None) -> Found | None:
    """3x3 convolutions to 64, 128, 256, 512 and 512 channels, pooling after each run, and dense layers.

    Simonyan and Zisserman, 2015, https://arxiv.org/abs/1409.1556.
    """
    if {part.kind for part in parts(entries)} - {"conv", "dense", "norm"}:
        return None
    order = arranged(entries, _is_vgg)
    if order is None:
        return None
    convolutions, norms, dense = _sorted(order)
    depth = _depth(convolutions)
    return None if depth is None else _build(depth, convolutions, norms, dense, input_shape)


def _sorted(order: list[Part]) -> list[list[Part]]:
    """Convolutions, normalisation and dense layers, each in the given order."""
    return [[part for part in order if part.kind == kind] for kind in ("conv", "norm", "dense")]


def _is_vgg(order: list[Part]) -> bool:
    convolutions, norms, dense = _sorted(order)
    chains = _depth(convolutions) is not None and 1 <= len(dense) <= 3 and chained([*convolutions, *dense])
    return chains and (not norms or _fit(convolutions, norms))


def _depth(convolutions: list[Part]) -> tuple[int, ...] | None:
    """Convolutions of each of the five stages; the last two have one width, and share their number."""
    if any(part.shape[2:] != (3, 3) for part in convolutions):
        return None
    runs = [(width, len(list(run))) for width, run in groupby(part.shape[0] for part in convolutions)]
    if [width for width, _ in runs] != list(_WIDTHS) or runs[3][1] % 2:
        return None
    counts = (*(n for _, n in runs[:3]), runs[3][1] // 2, runs[3][1] // 2)
    return counts if counts in _DEPTHS else None


def _fit(convolutions: list[Part], norms: list[Part]) -> bool:
    widths = [part.shape[0] for part in convolutions]
    return [part.arrays["running_mean"].shape for part in norms] == [(width,) for width in widths] and all(
        part.arrays.keys() == {"weight", "bias", "running_mean", "running_var"}
        and all(array.shape == (width,) for array in part.arrays.values())
        for part, width in zip(norms, widths, strict=True)
    )


def _build(
    counts: tuple[int, ...],
    convolutions: list[Part],
    norms: list[Part],
    dense: list[Part],
    input_shape: Shape | None,
) -> Found | None:
    features, channels = dense[0].shape[1], convolutions[0].shape[1]
    name = f"vgg{_DEPTHS[counts]}" + ("_bn" if norms else "")
    side = round((features // 512) ** 0.5)
    if side * side * 512 != features:
        return None
    adaptive = side == 7 and (input_shape is None or len(input_shape) == 3)
    size = input_shape[1] if adaptive and input_shape is not None else 32 * side
    shape = image(input_shape, channels, {size: ""}, name)
    stack = Stack()
    place = iter(range(len(convolutions)))
    for count in counts:
        for _ in range(count):
            at = next(place)
            part = convolutions[at]
            stack.add(nn.Conv2d(part.shape[1], part.shape[0], 3, padding=1, bias=part.biased), part)
            if norms:
                stack.add(nn.BatchNorm2d(part.shape[0]), norms[at])
            stack.add(nn.ReLU())
        stack.add(nn.MaxPool2d(2))
    if adaptive and shape[1] != 224:
        stack.add(nn.AdaptiveAvgPool2d(7))
    stack.add(nn.Flatten())
    stack.dense(dense)
    assumed = ["padding 1 and ReLU for each convolution, max pooling of 2 after each run"]
    if adaptive and shape[1] != 224:
        assumed.append("adaptive pooling to 7 x 7, as in torchvision")
    if input_shape is None:
        assumed.append(f"inputs of {' x '.join(map(str, shape))}")
    return Found(name, stack.network(), tuple(assumed), shape, stack.names)
