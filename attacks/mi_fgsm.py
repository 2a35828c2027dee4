"""Iterative attacks made to transfer to models that the attacker does not know: MI-FGSM and its relatives."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field

from armour.checks import count, positive
from armour.contract import Model
from armour.criteria import Criterion, Loss
from armour.errors import InvalidArgument
from armour.regions import F32
from armour.rng import Streams

from .base import ATTACKS, FixedBudgetAttack
from .fgsm import check_loss
from .gradient import ascend
from .image_maps import Diversity, Smoothing
from .momentum import Momentum, MomentumWay, Neighbours


@dataclass(frozen=True, slots=True, kw_only=True)
class MomentumAttack(FixedBudgetAttack):
    """Steps from x along a Momentum; a sample is left alone once it is broken. Needs gradients.

    Used against the model whose gradients they take they are no stronger than PGD; through
    attacks.Transfer, which lets them go on to the last step, they are for other models.

    steps: gradient evaluations (each of all points and views). step_size: length of a step, as a fraction of
    epsilon; None for the papers' 1 / steps. loss: as for BIM. decay: share of the direction so far that a
    step keeps, at or above 0.
    Raises UnsupportedError if the model is a black box, or takes no images and a part of the step needs them.
    """

    steps: int = 10
    step_size: float | None = None
    loss: str | Loss = "cross-entropy"

    def __post_init__(self) -> None:
        FixedBudgetAttack.__post_init__(self)
        count("steps", self.steps)
        if self.step_size is not None:
            positive("step_size", self.step_size)
        check_loss(self.loss)
        self.way()

    @abstractmethod
    def way(self) -> Momentum:
        """How a step is chosen."""

    def run(self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams) -> F32:
        """As FixedBudgetAttack.run."""
        region = self.region(model, x, epsilon)
        step_size = 1 / self.steps if self.step_size is None else self.step_size
        adv, _, _ = ascend(
            model,
            region,
            criterion,
            x,
            loss=self.loss,
            steps=self.steps,
            step_size=step_size,
            way=MomentumWay(self.way(), model, region, steps=self.steps, step_size=step_size, rng=rng),
        )
        return adv


@ATTACKS.register("mi-fgsm")
@dataclass(frozen=True, slots=True, kw_only=True)
class MIFGSM(MomentumAttack):
    """Momentum iterative FGSM.

    steps, step_size, loss, decay: as for MomentumAttack.
    Dong et al., 2018, https://arxiv.org/abs/1710.06081.
    """

    decay: float = 1.0

    def way(self) -> Momentum:
        """As MomentumAttack.way."""
        return Momentum(decay=self.decay)


@ATTACKS.register("ni-fgsm")
@dataclass(frozen=True, slots=True, kw_only=True)
class NIFGSM(MomentumAttack):
    """Nesterov iterative FGSM: MI-FGSM with the gradient taken where the momentum alone would lead.

    steps, step_size, loss, decay: as for MomentumAttack.
    Lin et al., 2020, https://arxiv.org/abs/1908.06281.
    """

    decay: float = 1.0

    def way(self) -> Momentum:
        """As MomentumAttack.way."""
        return Momentum(decay=self.decay, nesterov=True)


@ATTACKS.register("si-fgsm")
@dataclass(frozen=True, slots=True, kw_only=True)
class SIFGSM(MomentumAttack):
    """Scale-invariant FGSM (SI-NI-FGSM): mean gradient over copies of the input at several brightnesses.

    steps, step_size, loss, decay: as for MomentumAttack. scales: copies, each half as bright as the one
    before, the first as it is. nesterov: as NI-FGSM looks ahead.
    Lin et al., 2020, https://arxiv.org/abs/1908.06281.
    """

    decay: float = 1.0
    scales: int = 5
    nesterov: bool = True

    def way(self) -> Momentum:
        """As MomentumAttack.way."""
        return Momentum(decay=self.decay, nesterov=self.nesterov, scales=self.scales)


@ATTACKS.register("di-fgsm")
@dataclass(frozen=True, slots=True, kw_only=True)
class DIFGSM(MomentumAttack):
    """Diverse-inputs FGSM (M-DI2-FGSM): the gradient through a random resizing and padding of each input.

    steps, step_size, loss: as for MomentumAttack. decay: 1 for M-DI2-FGSM, 0 for DI2-FGSM. probability,
    smallest: as for attacks.Diversity. Inputs must be images.
    Xie et al., 2019, https://arxiv.org/abs/1803.06978.
    """

    decay: float = 1.0
    probability: float = 0.5
    smallest: float = 0.9

    def way(self) -> Momentum:
        """As MomentumAttack.way."""
        return Momentum(
            decay=self.decay, diversity=Diversity(probability=self.probability, smallest=self.smallest)
        )


@ATTACKS.register("ti-fgsm")
@dataclass(frozen=True, slots=True, kw_only=True)
class TIFGSM(MomentumAttack):
    """Translation-invariant FGSM (TI-MI-FGSM): gradients smoothed by a Gaussian window.

    steps, step_size, loss: as for MomentumAttack. decay: 1 for TI-MI-FGSM, 0 for TI-BIM. size, reach: as for
    attacks.Smoothing. Inputs must be images.
    Dong et al., 2019, https://arxiv.org/abs/1904.02884.
    """

    decay: float = 1.0
    size: int = 15
    reach: float = 3.0

    def way(self) -> Momentum:
        """As MomentumAttack.way."""
        return Momentum(decay=self.decay, smoothing=Smoothing(size=self.size, reach=self.reach))


@ATTACKS.register("vmi-fgsm")
@dataclass(frozen=True, slots=True, kw_only=True)
class VMIFGSM(MomentumAttack):
    """Variance-tuned MI-FGSM: gradients corrected by those of points around the last iterate.

    steps, step_size, loss, decay: as for MomentumAttack. neighbours, reach: count and reach of
    attacks.Neighbours.
    Wang and He, 2021, https://arxiv.org/abs/2103.15571.
    """

    decay: float = 1.0
    neighbours: int = 20
    reach: float = 1.5

    def way(self) -> Momentum:
        """As MomentumAttack.way."""
        return Momentum(decay=self.decay, neighbours=Neighbours(count=self.neighbours, reach=self.reach))


@ATTACKS.register("vni-fgsm")
@dataclass(frozen=True, slots=True, kw_only=True)
class VNIFGSM(MomentumAttack):
    """Variance-tuned NI-FGSM: VMI-FGSM that takes its own gradient where the momentum alone would lead.

    steps, step_size, loss, decay, neighbours, reach: as for VMIFGSM.
    Wang and He, 2021, https://arxiv.org/abs/2103.15571.
    """

    decay: float = 1.0
    neighbours: int = 20
    reach: float = 1.5

    def way(self) -> Momentum:
        """As MomentumAttack.way."""
        return Momentum(
            decay=self.decay,
            nesterov=True,
            neighbours=Neighbours(count=self.neighbours, reach=self.reach),
        )


@ATTACKS.register("ct-fgsm")
@dataclass(frozen=True, slots=True, kw_only=True)
class CTFGSM(MomentumAttack):
    """Composed transformations: any combination of the parts above; by default SI-NI-TI-DI-FGSM.

    steps, step_size, loss: as for MomentumAttack. parts: an attacks.Momentum. Inputs must be images if a part
    needs them.
    Lin et al., 2020, https://arxiv.org/abs/1908.06281, section 4.
    """

    parts: Momentum = field(
        default=Momentum(nesterov=True, scales=5, diversity=Diversity(), smoothing=Smoothing())
    )

    def way(self) -> Momentum:
        """As MomentumAttack.way."""
        if not isinstance(self.parts, Momentum):
            raise InvalidArgument(f"expected parts as an attacks.Momentum, got {self.parts!r}")
        return self.parts
