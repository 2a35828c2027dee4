"""AlexNet in torchvision's form: five convolutions, of which the first is 11x11, and three dense layers."""

from __future__ import annotations

from armour.formats.entries import Entries
from armour.formats.recognise import FAMILIES, Found, Part, Shape, arranged, chained, parts, refuse
from armour.tensor import zoo

_CONVOLUTIONS = [(64, 11), (192, 5), (384, 3), (256, 3), (256, 3)]
_FEATURES = 256 * 6 * 6
_LAYERS = [f"features.{i}" for i in (0, 3, 6, 8, 10)] + [f"classifier.{i}" for i in (1, 4, 6)]


def _ends_in_dense(order: list[Part]) -> bool:
    return [part.kind for part in order] == ["conv"] * 5 + ["dense"] * 3 and chained(order)


@FAMILIES.register("alexnet")
def alexnet(entries: Entries, input_shape: Shape | None) -> Found | None:
    """The zoo's alexnet; other widths have paddings that the shapes do not tell, and are refused.

    Krizhevsky, 2014, https://arxiv.org/abs/1404.5997.
    """
    layers = parts(entries)
    if sorted(part.kind for part in layers) != ["conv"] * 5 + ["dense"] * 3:
        return None
    chain = arranged(entries, _ends_in_dense)
    if chain is None:
        return None
    kernels = [(part.shape[0], part.shape[2]) for part in chain[:5]]
    dense = [part.shape[0] for part in chain[5:7]]
    if [size for _, size in kernels] != [size for _, size in _CONVOLUTIONS] or chain[5].shape[1] != _FEATURES:
        return None
    if kernels != _CONVOLUTIONS or dense != [4096, 4096] or not all(part.biased for part in chain):
        widths = ", ".join(str(width) for width, _ in kernels)
        raise refuse(
            f"an AlexNet of other widths ({widths})",
            "its paddings are not in the shapes; give the network itself as arch=, or export it as ONNX",
        )
    shape = input_shape or (chain[0].shape[1], 224, 224)
    if len(shape) != 3 or shape[0] != chain[0].shape[1]:
        raise refuse("AlexNet", f"they take {chain[0].shape[1]} channels, got input_shape={shape}")
    module = zoo.build("alexnet", shape, chain[-1].shape[0])
    names = {
        f"{own}.{role}": f"{part.name}.{role}"
        for own, part in zip(_LAYERS, chain, strict=True)
        for role in part.arrays
    }
    assumed = ["stride 4 and padding 2 in the first convolution, padding 2, 1, 1, 1 in the others"]
    assumed += ["ReLU, max pooling 3/2 after convolutions 1, 2 and 5, no local normalisation"]
    if input_shape is None:
        assumed.append(f"inputs of {' x '.join(map(str, shape))}")
    return Found("alexnet", module, tuple(assumed), shape, names)
