"""How far an evaluation is as a whole: its units weighed by about what they cost, for the time left."""

from __future__ import annotations

from armour.attacks.search import Search
from armour.events import Event, OnEvent, emit

from . import presets
from .context import Context

WHOLE = 1_000  # parts that progress is told in
CHECKS = 400.0  # forward passes for each sample of the checks, about


class Plan:
    """Tells a listener how much of the evaluation is done, in thousandths."""

    def __init__(self, context: Context, on_event: OnEvent) -> None:
        self.context, self.on_event = context, on_event
        n = len(context.x)
        self.costs = [presets.cost(attack) * n for attack in context.attacks]
        self.checks = CHECKS * min(n, context.probes) * 2
        self.done = 0.0
        self.current = 0
        self.last = 0

    def show(self, name: str, share: float, **values: float) -> None:
        """Say what is being done now; share: of the unit at hand."""
        whole = sum(self.costs) + self.checks
        if name == "done":
            parts = WHOLE
        elif name.startswith(("check", "smallest")):
            before = self.done if self.current else 0.0
            parts = int(WHOLE * (before + 0.9 * share * self.checks) / whole) if self.current else 0
        else:
            parts = int(WHOLE * (self.done + share * self.costs[self.current]) / whole)
        self.last = max(self.last, min(parts, WHOLE))
        emit(self.on_event, "evaluate", self.last, WHOLE, name, **values)

    def listener(self, number: int, search: Search) -> OnEvent:
        """What to hand to the search while it runs that attack."""
        self.current = number
        left = int((~search.success).any(axis=0).sum()) if number else len(search.x)
        for later in range(number, len(self.costs)):
            self.costs[later] = presets.cost(self.context.attacks[later]) * left * self._budgets(later)
        if self.on_event is None:
            return None
        name = f"{number + 1} of {len(self.costs)}: {type(self.context.attacks[number]).__name__}"
        start = len(search.x) * number

        def told(event: Event) -> None:
            if event.stage == "attack":
                share = (event.done - start) / max(1, len(search.x))
                self.show(name, min(1.0, max(0.0, share)), **event.values)

        return told

    def finished(self, number: int) -> None:
        """That attack is through."""
        self.done += self.costs[number]
        self.current = number + 1
        if self.current == len(self.costs):
            self.costs.append(0.0)

    def _budgets(self, number: int) -> float:
        return (
            float(len(self.context.budgets)) if number == 0 else 1.0 + 0.5 * (len(self.context.budgets) - 1)
        )
