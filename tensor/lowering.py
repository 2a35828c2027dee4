"""The kernels of plans: importing this module files them all, each row's preferred kernel first."""

from __future__ import annotations

from armour.tensor import lower_activations as lower_activations
from armour.tensor import lower_basic as lower_basic
from armour.tensor import lower_conv as lower_conv
from armour.tensor import lower_cupy as lower_cupy
from armour.tensor import lower_join as lower_join
from armour.tensor import lower_loss as lower_loss
from armour.tensor import lower_means as lower_means
from armour.tensor import lower_norm as lower_norm
from armour.tensor import lower_numba as lower_numba
from armour.tensor import lower_onednn as lower_onednn
from armour.tensor import lower_pool as lower_pool
