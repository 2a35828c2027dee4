"""Report: the one versioned record of a result, from which every other form is rendered.

`armour-report/1` is JSON with sorted keys. Its sha256 covers everything but times, so two runs with one seed
on one machine have the same hash. Reading is strict: a report is data from outside.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from armour import records
from armour.environment import Environment, collect
from armour.errors import FormatError, InvalidArgument
from armour.files import write_text
from armour.report_evaluation import EvaluationSection
from armour.report_hardening import HardeningSection, hardening_section
from armour.report_sections import (
    OPTIONAL,
    AttackSection,
    Check,
    FuzzSection,
    ModelInfo,
    Provenance,
    Rate,
)

if TYPE_CHECKING:
    from armour.attacks.result import AttackResult
    from armour.contract import Model
    from armour.fuzz.hardening_result import Hardening
    from armour.fuzz.result import FuzzResult

__all__ = [
    "SCHEMA",
    "AttackSection",
    "Check",
    "Environment",
    "EvaluationSection",
    "FuzzSection",
    "HardeningSection",
    "ModelInfo",
    "Provenance",
    "Rate",
    "Report",
]

SCHEMA = "armour-report/1"
MAX_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was tested, what was found, where, and how to make it again.

    checks: results of diagnostics that ran the model; those that follow from the figures are added when
    shown.
    limits: what was not tested, beside what armour says by itself. clean: accuracy without any attack.
    evaluation: how the first attack section, a worst case over several attacks, came about. hardening: how
    the model was retrained with failures, beside what it was before.
    """

    model: ModelInfo
    attacks: tuple[AttackSection, ...] = ()
    fuzz: FuzzSection | None = None
    clean: Rate | None = None
    checks: tuple[Check, ...] = ()
    limits: tuple[str, ...] = ()
    provenance: Provenance = field(default_factory=Provenance)
    environment: Environment = field(default_factory=collect)
    title: str = "Robustness report"
    evaluation: EvaluationSection | None = field(default=None, metadata=OPTIONAL)
    hardening: HardeningSection | None = field(default=None, metadata=OPTIONAL)
    schema: Literal["armour-report/1"] = "armour-report/1"

    @property
    def sha256(self) -> str:
        """Hash of the report without its times."""
        return records.digest(records.to_tree(self))

    @classmethod
    def from_attack(cls, result: AttackResult, model: Model, x: Any, y: Any, **options: Any) -> Report:
        """A report of one attack; options as in armour.report_build.attack_section, and title, provenance,
        limits."""
        from armour.report_build import attack_section, model_info

        own, rest = _split(options)
        return cls(model=model_info(model), attacks=(attack_section(result, model, x, y, **rest),), **own)

    @classmethod
    def from_fuzz(cls, result: FuzzResult, model: Model, **options: Any) -> Report:
        """A report of one fuzzing run; options as in armour.report_fuzz.fuzz_section, and title, provenance,
        limits."""
        from armour.report_build import model_info
        from armour.report_fuzz import fuzz_section

        own, rest = _split(options)
        return cls(model=model_info(model), fuzz=fuzz_section(result, model, **rest), **own)

    @classmethod
    def from_hardening(cls, result: Hardening, *, training: str, **options: Any) -> Report:
        """A report of armour.fuzz.hardening.harden: of the hardened model, as fuzzing found it on side B.

        training: name of the data it was trained on. options: as of from_fuzz.
        """
        report = cls.from_fuzz(result.result, result.model, mutators=result.result.mutators, **options)
        section = hardening_section(result, training)
        return dataclasses.replace(report, hardening=section, clean=section.models[-1].clean)

    def merge(self, other: Report) -> Report:
        """Both reports as one. InvalidArgument if they are of different models, or both hold a fuzzing
        campaign or an evaluation."""
        if self.model.fingerprint != other.model.fingerprint:
            mine, theirs = (r.model.fingerprint[:12] or "an unknown one" for r in (self, other))
            raise InvalidArgument(
                f"expected two reports of one model, got {mine} and {theirs}; keep them as two reports"
            )
        if self.fuzz is not None and other.fuzz is not None:
            raise InvalidArgument("both reports hold a fuzzing campaign; keep them as two reports")
        if other.evaluation is not None:
            if self.evaluation is not None:
                raise InvalidArgument("both reports hold an evaluation; keep them as two reports")
            return other.merge(self)  # an evaluation is about the first attack section
        return dataclasses.replace(
            self,
            attacks=self.attacks + other.attacks,
            fuzz=self.fuzz or other.fuzz,
            hardening=self.hardening or other.hardening,
            clean=self.clean or other.clean,
            checks=tuple({check.id: check for check in (*self.checks, *other.checks)}.values()),
            limits=tuple(dict.fromkeys((*self.limits, *other.limits))),
        )

    def to_json(self) -> str:
        """The report as JSON text: sorted keys, indented, finite numbers only."""
        tree = {**records.to_tree(self), "sha256": self.sha256}
        return json.dumps(tree, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, what: str = "report") -> Report:
        """The report of a JSON text; FormatError, naming `what`, unless it is exactly what to_json writes."""
        tree = records.parse(text, what)
        schema = tree.get("schema") if isinstance(tree, dict) else None
        if schema != SCHEMA:
            found = f"schema {str(schema)[:60]!r}" if schema is not None else "none"
            raise FormatError(f'expected an armour report with "schema": "{SCHEMA}" in {what}, got {found}')
        stated = tree.pop("sha256", None)
        try:
            report = records.from_tree(cls, tree)
        except FormatError as error:
            raise FormatError(f"{what} is not a valid report: {error}") from None
        if stated is not None and stated != report.sha256:
            raise FormatError(
                f"{what} was changed after it was written: its sha256 does not match its content"
            )
        return report

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the JSON atomically."""
        write_text(path, self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Report:
        """Read a report; FormatError in one line for anything that is not one."""
        source = Path(path)
        if not source.is_file():
            raise FormatError(
                f"there is no report {source}; `armour evaluate`, `attack` and `demo` write one"
            )
        with source.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise FormatError(f"{source} is larger than the {MAX_BYTES // 2**20} MiB a report may have")
        return cls.from_json(content, str(source))

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """The report as one self-contained page, written to `path` if given."""
        from armour.render import html

        text = html(self)
        if path is not None:
            write_text(path, text)
        return text

    def to_markdown(self, path: str | os.PathLike[str] | None = None) -> str:
        """The report as Markdown, written to `path` if given."""
        from armour.markdown import markdown

        text = markdown(self)
        if path is not None:
            write_text(path, text)
        return text


_OWN = frozenset({"title", "provenance", "limits", "checks", "clean", "environment"})


def _split(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    own = {name: value for name, value in options.items() if name in _OWN}
    return own, {name: value for name, value in options.items() if name not in _OWN}
