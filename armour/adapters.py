"""wrap(): anything that classifies arrays, made a Model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from armour import remote
from armour.bounds import Bounds
from armour.checks import describe
from armour.contract import Model
from armour.errors import InvalidArgument
from armour.outputs import Kind
from armour.preprocessing import Preprocessing, joined

Make = Callable[..., Model]


def wrap(
    obj: Any,
    *,
    bounds: Bounds | Sequence[float] | None = None,
    input_shape: Sequence[int] | None = None,
    num_classes: int | None = None,
    output_shape: Sequence[int] | None = None,
    class_names: Sequence[str] = (),
    preprocessing: Preprocessing | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    outputs: Kind = "auto",
    name: str | None = None,
    device: str | None = None,
    batch_size: int | None = None,
    **options: Any,
) -> Model:
    """A Model from a network, a fitted scikit-learn classifier, an address, or any function of arrays.

    obj: an armour.tensor.nn.Module or a torch.nn.Module (white boxes); a scikit-learn classifier, or a
    callable from (n, ...) arrays to (n, classes) scores or (n,) labels (black boxes); the address "http://..."
    of a server that speaks the Open Inference Protocol v2; the path of an ONNX file, with
    runtime="onnxruntime"; or a Model, which is returned as it is.

    bounds: range of the inputs as users give them; (0, 1) if left out, but files must have it stated, and
    servers that do not say it. preprocessing (or mean and std alone): done inside the model, from users'
    inputs to what obj takes, so that epsilons stay in the user's units. outputs: what obj gives: "logits",
    "probabilities", "labels", or "auto": found out on the first outputs. It is recorded in
    provenance["outputs"] in any case, and logits are made of it. input_shape, num_classes: learnt from the
    first call if left out. output_shape: of the answer to one sample, for what is no classifier (a detector,
    a segmentation network), as one array; see Model. device: "cpu" or "cuda"; left out, PyTorch modules stay
    where they are. options: settings of one kind of model alone, such as runtime=. Raises InvalidArgument for
    anything else.
    """
    if isinstance(obj, Model):
        return obj
    common: dict[str, Any] = {
        "bounds": bounds,
        "input_shape": input_shape,
        "num_classes": num_classes,
        "class_names": class_names,
        "preprocessing": joined(preprocessing, mean, std),
        "outputs": outputs,
        **options,
    }
    if output_shape is not None:
        common["output_shape"] = output_shape
    if name is not None:
        common["name"] = name
    if batch_size is not None:
        common["batch_size"] = batch_size
    if bounds is None and not _is_place(obj):
        common["bounds"] = Bounds()
    for fits, make in _KINDS:
        if fits(obj):
            return make(obj, common, device)
    raise InvalidArgument(
        f"expected a network, a fitted classifier or a function of arrays, got {describe('obj', obj)}"
    )


def _is_place(obj: Any) -> bool:
    return isinstance(obj, str) or hasattr(obj, "__fspath__")


def _from(package: str) -> Callable[[Any], bool]:
    return lambda obj: any(base.__module__.split(".")[0] == package for base in type(obj).__mro__)


def _is_module(obj: Any) -> bool:
    from armour.tensor import nn

    return isinstance(obj, nn.Module)


def _module(obj: Any, common: dict[str, Any], device: str | None) -> Model:
    from armour.model import ModuleModel

    common.setdefault("name", type(obj).__name__.lower())
    return _made(ModuleModel, obj, common, device=device or "cpu")


def _torch(obj: Any, common: dict[str, Any], device: str | None) -> Model:
    from armour.torch_model import TorchModel

    return _made(TorchModel, obj, common, device=device)


def _estimator(obj: Any, common: dict[str, Any], device: str | None) -> Model:
    from armour.estimator_model import EstimatorModel

    return _made(EstimatorModel, obj, common)


def _text(obj: Any, common: dict[str, Any], device: str | None) -> Model:
    text = str(obj)
    if remote.is_url(text):
        return remote.wrap(text, common)
    runtime = common.pop("runtime", None)
    if runtime == "onnxruntime":
        if common["bounds"] is None:
            raise InvalidArgument(
                f"expected the bounds of the inputs of {text}, in the user's units; state bounds="
            )
        from armour.onnxruntime_model import OnnxRuntimeModel

        return _made(OnnxRuntimeModel, text, common)
    raise InvalidArgument(
        f"expected a model object, got {describe('obj', obj)}; read a file with armour.load, or run an ONNX "
        'file as a black box with runtime="onnxruntime"'
    )


def _function(obj: Any, common: dict[str, Any], device: str | None) -> Model:
    from armour.black_box import CallableModel

    return _made(CallableModel, obj, common)


def _made(kind: type[Model], obj: Any, common: dict[str, Any], **more: Any) -> Model:
    try:
        return kind(obj, **common, **more)  # type: ignore[call-arg]
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise InvalidArgument(f"{kind.__name__} has no such setting: {error}") from error


# Asked in this order: (whether an object is of the kind, what makes a model of it).
_KINDS: tuple[tuple[Callable[[Any], bool], Make], ...] = (
    (_is_place, _text),
    (_is_module, _module),
    (_from("torch"), _torch),
    (lambda obj: hasattr(obj, "predict") and not callable(obj), _estimator),
    (callable, _function),
)
