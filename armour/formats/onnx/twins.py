"""The floating twins of quantised tensors; what they are for is told in rules_quantise.py."""

from __future__ import annotations

from weakref import ref

from armour.tensor.core import Tensor


class Twins:
    """Tensor -> tensor, by identity, for as long as the first one lives."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[ref[Tensor], Tensor]] = {}

    def __setitem__(self, whole: Tensor, twin: Tensor) -> None:
        key, held = id(whole), self._held
        held[key] = ref(whole, lambda _: held.pop(key, None)), twin

    def get(self, whole: Tensor) -> Tensor | None:
        """The twin, if there is one."""
        found = self._held.get(id(whole))
        return None if found is None else found[1]

    def __contains__(self, whole: Tensor) -> bool:
        return id(whole) in self._held

    def __len__(self) -> int:
        return len(self._held)
