"""Tensor, and how a row of the op table is applied to tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from armour.errors import InvalidArgument
from armour.tensor.backend import Array, asnumpy, default_namespace, device_of, get_xp, is_array, to_device
from armour.tensor.methods import Methods
from armour.tensor.op import OPS, Op
from armour.tensor.tape import Node as Node
from armour.tensor.tape import backward_pass as backward_pass
from armour.tensor.tape import effect as effect
from armour.tensor.tape import grad_enabled as grad_enabled
from armour.tensor.tape import no_grad as no_grad
from armour.tensor.tape import observers as observers
from armour.tensor.tape import recording as recording
from armour.tensor.tape import state as state


class Tensor(Methods):
    """An array on the host or on a device that can be differentiated through.

    data: array, list or number. Lists and Python numbers become float32 (or integers); arrays keep their
    dtype and are not copied. requires_grad: record what is computed from it, so that `backward` fills `grad`.
    Operators and methods are named as in NumPy and PyTorch; each returns a new Tensor. More of them are in
    methods.py.
    """

    __slots__ = ("__weakref__", "data", "grad", "node", "requires_grad")
    __array_ufunc__ = None  # numpy_array * tensor asks Tensor.__rmul__

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self.data: Array = _as_array(data)
        if requires_grad and self.data.dtype.kind != "f":
            raise InvalidArgument(
                f"expected floating-point data for requires_grad=True, got dtype {self.data.dtype}; "
                "convert with .astype"
            )
        self.requires_grad = bool(requires_grad)
        self.grad: Tensor | None = None
        self.node: Node | None = None

    # -- what it is ------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, as a tuple."""
        return tuple(self.data.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return int(self.data.ndim)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(self.data.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the data."""
        return self.data.dtype  # type: ignore[no-any-return]

    @property
    def device(self) -> str:
        """ "cpu" or "cuda"."""
        return device_of(self.data)

    def numpy(self) -> np.ndarray:
        """The data on the host; shares memory with the tensor if it is there."""
        for read in state.readers:
            read(self)
        return asnumpy(self.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def item(self) -> float:
        """The only element, as a Python number."""
        return self.numpy().item()  # type: ignore[no-any-return]

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("a tensor without axes has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        grad = ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({np.array2string(self.numpy(), precision=4, threshold=20)}, dtype={self.dtype}{grad})"

    # -- moving and detaching ------------------------------------------------------

    def to(self, device: str) -> Tensor:
        """The same values on "cpu" or "cuda", as a leaf."""
        moved = wrap(to_device(self.data, device))
        moved.requires_grad = self.requires_grad
        return moved

    def detach(self) -> Tensor:
        """The same data without its history."""
        return wrap(self.data)

    def astype(self, dtype: Any) -> Tensor:
        """The values in another dtype; the gradient is cast back."""
        return self if self.dtype == np.dtype(dtype) else OPS["cast"](self, dtype=np.dtype(dtype).name)

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    def backward(self, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Add the derivative of this tensor to `grad` of every leaf with requires_grad.

        gradient: cotangent of the tensor's shape; may be left out for a single element. The recorded history
        is released as it is consumed unless `retain_graph` or `create_graph` (which makes the gradients
        differentiable too).
        """
        seed = _seed(self, gradient)
        for leaf, value in backward_pass([self], [seed], None, create_graph, retain_graph or create_graph):
            if not create_graph:
                value = value.detach()
            leaf.grad = value if leaf.grad is None else leaf.grad + value

    # -- operators: each calls one row of the table ------------------------------------------------------

    def __add__(self, other: Any) -> Tensor:
        return _arithmetic("add", np.add, self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Tensor:
        return _arithmetic("subtract", np.subtract, self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return apply(OPS["subtract"], (other, self), {})

    def __mul__(self, other: Any) -> Tensor:
        return _arithmetic("multiply", np.multiply, self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Tensor:
        return apply(OPS["divide"], (self, other), {})

    def __rtruediv__(self, other: Any) -> Tensor:
        return apply(OPS["divide"], (other, self), {})

    def __pow__(self, other: Any) -> Tensor:
        if type(other) in _PLAIN and other == 2 and self.data.dtype.kind == "f":
            return apply(OPS["square"], (self,), {})
        return apply(OPS["power"], (self, other), {})

    def __rpow__(self, other: Any) -> Tensor:
        return apply(OPS["power"], (other, self), {})

    def __matmul__(self, other: Any) -> Tensor:
        return apply(OPS["matmul"], (self, other), {})

    def __rmatmul__(self, other: Any) -> Tensor:
        return apply(OPS["matmul"], (other, self), {})

    def __neg__(self) -> Tensor:
        return apply(OPS["negative"], (self,), {})

    def __abs__(self) -> Tensor:
        return apply(OPS["abs"], (self,), {})

    def __getitem__(self, index: Any) -> Tensor:
        return OPS["getitem"](self, index=_plain_index(index))

    # -- methods, named as in NumPy and PyTorch ------------------------------------------------------

    @property
    def T(self) -> Tensor:
        """All axes reversed."""
        return OPS["transpose"](self, axes=tuple(range(self.ndim))[::-1])

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in another shape; one length may be -1."""
        return OPS["reshape"](self, shape=_flat_ints(shape))

    def transpose(self, *axes: Any) -> Tensor:
        """Axes permuted; all reversed if none are given."""
        order = _flat_ints(axes) or tuple(range(self.ndim))[::-1]
        return OPS["transpose"](self, axes=order)

    def flatten(self, start_axis: int = 0) -> Tensor:
        """Axes from `start_axis` on merged into one."""
        return OPS["reshape"](
            self, shape=(*self.shape[:start_axis], int(np.prod(self.shape[start_axis:], dtype=int)))
        )

    def squeeze(self, axis: int) -> Tensor:
        """Without the axis `axis`, which has length 1."""
        axis %= self.ndim
        if self.shape[axis] != 1:
            raise InvalidArgument(f"expected length 1 at axis {axis}, got shape {self.shape}")
        return self.reshape(self.shape[:axis] + self.shape[axis + 1 :])

    def expand_dims(self, axis: int) -> Tensor:
        """With a new axis of length 1 at `axis`."""
        axis = axis % (self.ndim + 1)
        return self.reshape((*self.shape[:axis], 1, *self.shape[axis:]))


def wrap(data: Array) -> Tensor:
    """A tensor of an array as it is, wherever it is: what the engine makes of its own results."""
    tensor = _new(Tensor)
    tensor.data = data if type(data) is np.ndarray or not isinstance(data, np.generic) else np.asarray(data)
    tensor.requires_grad = False
    tensor.grad = tensor.node = None
    return tensor


_new = object.__new__
_PLAIN = (float, int)
_NUMBERS = (bool, int, float, np.number, np.bool_)


def lift(inputs: Sequence[Any]) -> tuple[Tensor, ...]:
    """Inputs as tensors; numbers take the dtype of the first floating array or tensor beside them.

    Numbers, lists and NumPy arrays go to where the tensors beside them are if one is on the host, else to the
    chosen backend.
    """
    if len(inputs) == 2:  # a number beside a tensor on the host: by far the most frequent case
        for k in (0, 1):
            number, other = inputs[k], inputs[1 - k]
            if type(number) in _PLAIN and isinstance(other, Tensor) and type(other.data) is np.ndarray:
                if other.data.dtype.kind != "f":
                    break
                constant = wrap(np.asarray(number, other.data.dtype))
                return (constant, other) if k == 0 else (other, constant)
    known = [t.data for t in inputs if isinstance(t, Tensor)]
    if len(known) == len(inputs):
        return tuple(inputs)
    arrays = [t.data if isinstance(t, Tensor) else t for t in inputs if isinstance(t, Tensor) or _is_data(t)]
    floating = next((a.dtype for a in arrays if a.dtype.kind == "f"), None)
    xp = get_xp(*known) if known else default_namespace()
    lifted = []
    for value in inputs:
        if isinstance(value, Tensor):
            lifted.append(value)
        elif arrays and isinstance(value, _NUMBERS):
            dtype = floating
            if floating is None:
                dtype = np.dtype(np.float32) if isinstance(value, (float, np.floating)) else arrays[0].dtype
            lifted.append(wrap(xp.asarray(value, dtype=dtype)))
        elif xp is np and known and isinstance(value, np.ndarray):
            lifted.append(wrap(value))
        else:
            lifted.append(Tensor(value))
    return tuple(lifted)


def _is_data(value: Any) -> bool:
    return type(value) is np.ndarray or (is_array(value) and not isinstance(value, np.generic))


def apply(row: Op, inputs: Sequence[Any], attrs: dict[str, Any]) -> Tensor:
    """Run a row of the op table on tensors, arrays or numbers, and record it if an input wants a gradient."""
    host, record = bool(inputs), False  # a row without inputs makes its output on the chosen backend
    arrays = []
    for t in inputs:
        if not isinstance(t, Tensor):
            return apply(row, lift(inputs), attrs)
        array = t.data
        arrays.append(array)
        if type(array) is not np.ndarray:
            host = False
        if t.requires_grad:
            record = True
    here = state.__dict__  # one look into the thread's own state instead of three
    for check in here["guards"]:
        check(row, arrays, attrs)
    try:
        xp = np if host else get_xp(*arrays)
        data = row.forward(xp, *arrays, **attrs) if attrs else row.forward(xp, *arrays)
    except (ValueError, IndexError, TypeError) as error:
        if isinstance(error, InvalidArgument):
            raise
        shapes = ", ".join(f"{tuple(a.shape)} {a.dtype}" for a in arrays)
        shown = "".join(f", {k}={v!r}" for k, v in attrs.items())
        raise InvalidArgument(f"op {row.name} cannot take inputs {shapes}{shown}: {error}") from error
    out = _new(Tensor)
    out.data = data if type(data) is np.ndarray or not isinstance(data, np.generic) else np.asarray(data)
    out.grad = None
    if record and here["recording"] and row.vjp is not None:
        out.requires_grad = True
        out.node = Node(row, inputs if type(inputs) is tuple else tuple(inputs), attrs)
    else:
        out.requires_grad = False
        out.node = None
    for observe in here["observers"]:
        observe(row, inputs, attrs, out)
    return out


_NO_ATTRS: dict[str, Any] = {}  # of nodes that have none; nothing writes to a node's attributes


def _arithmetic(row: str, function: Any, a: Tensor, b: Any) -> Tensor:
    # What `apply` does, for by far the most frequent rows on two arrays of one dtype: half of the time of a
    # small operation is spent on finding out that nothing is special about it.
    if isinstance(b, Tensor):
        x, y = a.data, b.data
        here = state.__dict__
        if (
            type(x) is np.ndarray
            and type(y) is np.ndarray
            and x.dtype is y.dtype
            and not (here["guards"] or here["observers"])
        ):
            try:
                data = function(x, y)
            except (ValueError, TypeError):
                return apply(OPS[row], (a, b), {})  # for its message
            out = _new(Tensor)
            out.data = data if type(data) is np.ndarray else np.asarray(data)
            out.grad = None
            if (a.requires_grad or b.requires_grad) and here["recording"]:
                out.requires_grad = True
                out.node = Node(OPS[row], (a, b), _NO_ATTRS)
            else:
                out.requires_grad = False
                out.node = None
            return out
    return apply(OPS[row], (a, b), {})


def _seed(tensor: Tensor, gradient: Any) -> Tensor:
    if not tensor.requires_grad:
        raise InvalidArgument(
            "expected a tensor computed from one with requires_grad=True; nothing was recorded"
        )
    if gradient is None:
        if tensor.size != 1:
            raise InvalidArgument(
                f"expected a single element, got shape {tensor.shape}; "
                "pass gradient= of that shape, or call .sum() first"
            )
        return wrap(get_xp(tensor.data).ones_like(tensor.data))
    seed = (
        gradient
        if isinstance(gradient, Tensor)
        else Tensor(get_xp(tensor.data).asarray(gradient, dtype=tensor.dtype))
    )
    if seed.shape != tensor.shape:
        raise InvalidArgument(f"expected gradient of shape {tensor.shape}, got {seed.shape}")
    return seed


def _as_array(data: Any) -> Array:
    if isinstance(data, Tensor):
        return data.data
    if is_array(data) and not isinstance(data, (np.ndarray, np.generic)):
        return data
    array = np.asarray(data)
    if array.dtype == np.float64 and not isinstance(data, (np.ndarray, np.generic)):
        array = array.astype(np.float32)
    if array.dtype.kind not in "fiub":
        raise InvalidArgument(f"expected numbers, got dtype {array.dtype}")
    xp = default_namespace()
    return array if xp is np else xp.asarray(array)


def _flat_ints(values: tuple[Any, ...]) -> tuple[int, ...]:
    if len(values) == 1 and isinstance(values[0], (tuple, list)):
        values = tuple(values[0])
    return tuple(int(v) for v in values)


def _plain_index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_plain_index(i) for i in index)
    return index.data if isinstance(index, Tensor) else index
