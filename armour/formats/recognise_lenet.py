"""LeNet-5, by the names of PyTorch, MindSpore or anything else: two convolutions and three dense layers."""

from __future__ import annotations

from armour.formats.entries import Entries
from armour.formats.recognise import FAMILIES, Found, Shape, Stack, arranged, chained, image, parts
from armour.tensor import nn

# Features that the first dense layer takes -> height of the input -> padding of the first convolution.
_SIZES = {400: {32: 0, 28: 2}, 256: {28: 0}, 576: {32: 2}}


@FAMILIES.register("lenet5")
def lenet5(entries: Entries, input_shape: Shape | None) -> Found | None:
    """5x5 convolutions to 6 and 16 channels with ReLU and max pooling, then 120, 84 and the classes.

    LeCun et al., 1998, https://doi.org/10.1109/5.726791, in the form of tutorials.
    """
    layers = parts(entries)
    if sorted(part.kind for part in layers) != ["conv"] * 2 + ["dense"] * 3:
        return None
    chain = arranged(entries, lambda order: _is_lenet([part.shape for part in order]) and chained(order))
    if chain is None or chain[2].shape[1] not in _SIZES:
        return None
    first, second, *dense = chain
    paddings = _SIZES[dense[0].shape[1]]
    meaning = {size: f"(padding {pad} in the first convolution)" for size, pad in paddings.items()}
    shape = image(input_shape, first.shape[1], meaning, "LeNet-5")
    stack = Stack()
    for part, padding in ((first, paddings[shape[1]]), (second, 0)):
        out, channels = part.shape[:2]
        stack.add(nn.Conv2d(channels, out, 5, padding=padding, bias=part.biased), part)
        stack.add(nn.ReLU())
        stack.add(nn.MaxPool2d(2))
    stack.add(nn.Flatten())
    stack.dense(dense)
    assumed = (
        f"padding {paddings[shape[1]]} in the first convolution, 0 in the second",
        "ReLU, and max pooling of 2 after each convolution",
    )
    return Found("lenet5", stack.network(), assumed, shape, stack.names)


def _is_lenet(shapes: list[Shape]) -> bool:
    return (
        [len(shape) for shape in shapes] == [4, 4, 2, 2, 2]
        and [shape[0] for shape in shapes[:4]] == [6, 16, 120, 84]
        and shapes[0][2:] == shapes[1][2:] == (5, 5)
        and shapes[4][0] >= 2
    )
