"""How often a model was asked."""

from __future__ import annotations

import threading


class Counter:
    """How often a model was asked, per sample: forward passes (queries) and backward passes (gradients)."""

    __slots__ = ("_lock", "gradients", "queries")

    def __init__(self) -> None:
        self.queries = 0
        self.gradients = 0
        self._lock = threading.Lock()

    def add(self, queries: int = 0, gradients: int = 0) -> None:
        """Count; safe from several threads."""
        with self._lock:
            self.queries += queries
            self.gradients += gradients

    def reset(self) -> None:
        """Start again from zero."""
        with self._lock:
            self.queries = self.gradients = 0

    def __getstate__(self) -> tuple[int, int]:
        return self.queries, self.gradients  # a lock belongs to its process

    def __setstate__(self, state: tuple[int, int]) -> None:
        self.queries, self.gradients = state
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Counter(queries={self.queries}, gradients={self.gradients})"
