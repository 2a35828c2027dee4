"""Networks: modules, leaf layers, containers, and what can be done to them."""

from __future__ import annotations

from armour.tensor.activations import ELU as ELU
from armour.tensor.activations import GELU as GELU
from armour.tensor.activations import LeakyReLU as LeakyReLU
from armour.tensor.activations import LogSoftmax as LogSoftmax
from armour.tensor.activations import ReLU as ReLU
from armour.tensor.activations import Sigmoid as Sigmoid
from armour.tensor.activations import SiLU as SiLU
from armour.tensor.activations import Softmax as Softmax
from armour.tensor.activations import Softplus as Softplus
from armour.tensor.activations import Tanh as Tanh
from armour.tensor.containers import Residual as Residual
from armour.tensor.containers import Sequential as Sequential
from armour.tensor.conv_layers import Conv1d as Conv1d
from armour.tensor.conv_layers import Conv3d as Conv3d
from armour.tensor.conv_layers import ConvTranspose1d as ConvTranspose1d
from armour.tensor.conv_layers import ConvTranspose2d as ConvTranspose2d
from armour.tensor.conv_layers import ConvTranspose3d as ConvTranspose3d
from armour.tensor.layers import LAYERS as LAYERS
from armour.tensor.layers import Add as Add
from armour.tensor.layers import AvgPool2d as AvgPool2d
from armour.tensor.layers import Conv2d as Conv2d
from armour.tensor.layers import Dropout as Dropout
from armour.tensor.layers import Flatten as Flatten
from armour.tensor.layers import GlobalAvgPool2d as GlobalAvgPool2d
from armour.tensor.layers import GlobalMaxPool2d as GlobalMaxPool2d
from armour.tensor.layers import Identity as Identity
from armour.tensor.layers import Layer as Layer
from armour.tensor.layers import Linear as Linear
from armour.tensor.layers import MaxPool2d as MaxPool2d
from armour.tensor.layers import leaf as leaf
from armour.tensor.module import Buffer as Buffer
from armour.tensor.module import Handle as Handle
from armour.tensor.module import Module as Module
from armour.tensor.module import Parameter as Parameter
from armour.tensor.module import evaluating as evaluating
from armour.tensor.module import frozen as frozen
from armour.tensor.module import skip_init as skip_init
from armour.tensor.normalisation import BatchNorm1d as BatchNorm1d
from armour.tensor.normalisation import BatchNorm2d as BatchNorm2d
from armour.tensor.normalisation import GroupNorm as GroupNorm
from armour.tensor.normalisation import LayerNorm as LayerNorm
from armour.tensor.watch import capture as capture
from armour.tensor.watch import leaf_names as leaf_names
