"""A smoothed classifier as a model with gradients: what an attack that knows the defense climbs."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from armour import checks
from armour.contract import LossFn, Model, input_gradient
from armour.defenses.smoothing import RandomizedSmoothing
from armour.rng import generator
from armour.tensor import Tensor
from armour.tensor.backend import asnumpy


class SmoothedModel(Model):
    """Logits are the logarithm of the mean probabilities of `draws` noisy copies; the noise is drawn once.

    Its gradient is the expectation over transformations that breaks defenses by randomness (Athalye et al.,
    2018, https://arxiv.org/abs/1802.00420), in the form that attacks smoothed classifiers best (Salman et
    al., 2019, https://arxiv.org/abs/1906.04584). It stands for RandomizedSmoothing in an attack only: whether
    an input is broken is for `predict` to say. The same noise serves each sample, so that an answer does
    not depend on the batch. rng: decides the noise. Its counter counts inputs, each of them `draws` passes of
    the model.
    """

    def __init__(
        self, smoothing: RandomizedSmoothing, *, draws: int = 16, rng: int | np.random.Generator = 0
    ) -> None:
        base = smoothing.model
        base.check_labels(np.zeros(0, np.int64), 0)
        super().__init__(
            bounds=base.bounds,
            input_shape=base.input_shape,
            num_classes=base.num_classes,
            class_names=base.class_names,
            name=f"{base.name}, smoothed",
            batch_size=max(1, base.batch_size // checks.count("draws", draws)),
        )
        self.base, self.draws, self.sigma = base, draws, smoothing.sigma
        self.seed = int(generator(rng).integers(0, 2**62))
        self._noise: np.ndarray | None = None

    @property
    def can_grad(self) -> bool:
        return self.base.can_grad

    @property
    def obstacle(self) -> str:
        return self.base.obstacle

    @property
    def fingerprint(self) -> str:
        """Hex sha256 over the model's own and the noise."""
        text = f"{self.base.fingerprint}|{self.sigma!r}|{self.draws}|{self.seed}"
        return hashlib.sha256(text.encode()).hexdigest()

    def _forward(self, x: np.ndarray) -> np.ndarray:
        logits = self._scores(x)
        return self._check_output(asnumpy(self._mean(Tensor(logits), len(x)).data), len(x))

    def _pullback(self, x: np.ndarray, loss_fn: LossFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if not self.can_grad:
            return super()._pullback(x, loss_fn)
        copies = self._copies(x)
        top = Tensor(self._scores(x), requires_grad=True)
        answer = self._mean(top, len(x))
        values = loss_fn(answer)
        slope = input_gradient(values, top).data
        gradient = np.empty_like(copies)
        for start in range(0, len(copies), self.base.batch_size):
            rows = slice(start, start + self.base.batch_size)

            def along(z: Tensor, slope: Any = slope[rows]) -> Tensor:
                weighted: Tensor = z * slope
                return weighted.sum(axis=1)

            gradient[rows] = self.base._pullback(copies[rows], along)[1]
        total = gradient.reshape(len(x), self.draws, *x.shape[1:]).sum(axis=1)
        return asnumpy(values.data), total, asnumpy(answer.data)

    def _copies(self, x: np.ndarray) -> np.ndarray:
        if self._noise is None:
            draw = np.random.default_rng(self.seed)
            self._noise = np.float32(self.sigma) * draw.standard_normal(
                (self.draws, *x.shape[1:]), dtype=np.float32
            )
        noisy: np.ndarray = x[:, None] + self._noise
        return noisy.reshape(-1, *x.shape[1:])

    def _scores(self, x: np.ndarray) -> np.ndarray:
        copies, size = self._copies(x), self.base.batch_size
        return np.concatenate(
            [self.base.unchecked(copies[i : i + size]) for i in range(0, len(copies), size)]
        )

    def _mean(self, logits: Tensor, n: int) -> Tensor:
        """(n, classes) log of the mean over draws of the probabilities of (n draws, classes)."""
        each = logits.log_softmax(axis=1).reshape(n, self.draws, -1)
        mean: Tensor = each.logsumexp(axis=1) - float(np.log(self.draws))
        return mean
