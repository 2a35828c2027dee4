"""Tensors with automatic differentiation on NumPy or CuPy arrays, and networks built from them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from armour.tensor.autodiff import grad as grad
from armour.tensor.autodiff import hessian as hessian
from armour.tensor.autodiff import hvp as hvp
from armour.tensor.autodiff import jacobian as jacobian
from armour.tensor.autodiff import jvp as jvp
from armour.tensor.autodiff import per_sample_grad as per_sample_grad
from armour.tensor.autodiff import value_and_grad as value_and_grad
from armour.tensor.autodiff import vjp as vjp
from armour.tensor.backend import get_xp as get_xp
from armour.tensor.backend import use_backend as use_backend
from armour.tensor.conv import conv2d as conv2d
from armour.tensor.core import Tensor as Tensor
from armour.tensor.core import no_grad as no_grad
from armour.tensor.elementwise import abs as abs
from armour.tensor.elementwise import add as add
from armour.tensor.elementwise import cast as cast
from armour.tensor.elementwise import clip as clip
from armour.tensor.elementwise import cos as cos
from armour.tensor.elementwise import divide as divide
from armour.tensor.elementwise import elu as elu
from armour.tensor.elementwise import equal as equal
from armour.tensor.elementwise import erf as erf
from armour.tensor.elementwise import exp as exp
from armour.tensor.elementwise import expm1 as expm1
from armour.tensor.elementwise import floor as floor
from armour.tensor.elementwise import gelu as gelu
from armour.tensor.elementwise import greater as greater
from armour.tensor.elementwise import greater_equal as greater_equal
from armour.tensor.elementwise import leaky_relu as leaky_relu
from armour.tensor.elementwise import less as less
from armour.tensor.elementwise import less_equal as less_equal
from armour.tensor.elementwise import log as log
from armour.tensor.elementwise import log1p as log1p
from armour.tensor.elementwise import maximum as maximum
from armour.tensor.elementwise import minimum as minimum
from armour.tensor.elementwise import multiply as multiply
from armour.tensor.elementwise import negative as negative
from armour.tensor.elementwise import not_equal as not_equal
from armour.tensor.elementwise import power as power
from armour.tensor.elementwise import relu as relu
from armour.tensor.elementwise import sigmoid as sigmoid
from armour.tensor.elementwise import sign as sign
from armour.tensor.elementwise import silu as silu
from armour.tensor.elementwise import sin as sin
from armour.tensor.elementwise import softplus as softplus
from armour.tensor.elementwise import sqrt as sqrt
from armour.tensor.elementwise import subtract as subtract
from armour.tensor.elementwise import tanh as tanh
from armour.tensor.elementwise import where as where
from armour.tensor.linalg import einsum as einsum
from armour.tensor.linalg import matmul as matmul
from armour.tensor.losses import cross_entropy as cross_entropy
from armour.tensor.losses import dlr as dlr
from armour.tensor.losses import kl as kl
from armour.tensor.losses import margin as margin
from armour.tensor.losses import mse as mse
from armour.tensor.norm import batch_norm as batch_norm
from armour.tensor.norm import dropout as dropout
from armour.tensor.norm import group_norm as group_norm
from armour.tensor.norm import layer_norm as layer_norm
from armour.tensor.op import OPS as OPS
from armour.tensor.per_sample import clipped_gradient as clipped_gradient
from armour.tensor.per_sample import module_sample_grads as module_sample_grads
from armour.tensor.pooling import avg_pool2d as avg_pool2d
from armour.tensor.pooling import global_avg_pool2d as global_avg_pool2d
from armour.tensor.pooling import global_max_pool2d as global_max_pool2d
from armour.tensor.pooling import max_pool2d as max_pool2d
from armour.tensor.reduce import argmax as argmax
from armour.tensor.reduce import cumsum as cumsum
from armour.tensor.reduce import log_softmax as log_softmax
from armour.tensor.reduce import logsumexp as logsumexp
from armour.tensor.reduce import max as max
from armour.tensor.reduce import mean as mean
from armour.tensor.reduce import min as min
from armour.tensor.reduce import softmax as softmax
from armour.tensor.reduce import sum as sum
from armour.tensor.reduce import var as var
from armour.tensor.shape import broadcast_to as broadcast_to
from armour.tensor.shape import concat as concat
from armour.tensor.shape import flatten as flatten
from armour.tensor.shape import flip as flip
from armour.tensor.shape import getitem as getitem
from armour.tensor.shape import pad as pad
from armour.tensor.shape import reshape as reshape
from armour.tensor.shape import stack as stack
from armour.tensor.shape import take_along_axis as take_along_axis
from armour.tensor.shape import transpose as transpose

if TYPE_CHECKING:
    from armour.tensor import nn as nn
    from armour.tensor import optim as optim


def __getattr__(name: str) -> Any:
    # nn and optim import this package's own names, so they load on first use.
    if name in ("nn", "optim"):
        return importlib.import_module(f"armour.tensor.{name}")
    raise AttributeError(f"module 'armour.tensor' has no attribute {name!r}")
