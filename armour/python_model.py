"""A Python function in a file as a black box: FILE.py:FUNCTION, from (n, ...) arrays to scores or labels.

Loading runs the file, so it is done for what a user states, never for what a corpus records.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from pathlib import Path
from typing import Any

from armour.black_box import CallableModel
from armour.errors import CheckpointError, InvalidArgument
from armour.files import sha256_file
from armour.preprocessing import joined

_PLACE = re.compile(r"(.+\.py):([A-Za-z_][A-Za-z0-9_]*)")


def is_function(path: str | Path) -> bool:
    """True for FILE.py:FUNCTION."""
    return _PLACE.fullmatch(str(path)) is not None


class PythonModel(CallableModel):
    """The function of that name in a file; options as for CallableModel, with bounds stated.

    Raises CheckpointError if the file is not there, InvalidArgument, in one line, if it raises when it is
    run or has no such function.
    """

    def __init__(self, place: str | Path, *, mean: Any = None, std: Any = None, **options: Any) -> None:
        match = _PLACE.fullmatch(str(place))
        if match is None:
            raise InvalidArgument(f"expected FILE.py:FUNCTION, got {str(place)[:200]!r}")
        self.path, self.place = Path(match[1]), str(place)
        if options.get("bounds") is None:
            raise CheckpointError(
                f"{place}: a function does not state the bounds of its inputs; say them, as in --bounds 0,1"
            )
        options["preprocessing"] = joined(options.get("preprocessing"), mean, std)
        super().__init__(_function(self.path, match[2]), name=self.path.stem, **options)
        self.provenance["file"] = {"name": self.path.name, "sha256": sha256_file(self.path)}

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of the file, the function's name and what is stated; the function is not asked."""
        parts = (sha256_file(self.path), self.place.rpartition(":")[2], self.preprocessing.to_dict())
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def _function(path: Path, name: str) -> Any:
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file; check the path")
    spec = importlib.util.spec_from_file_location(f"armour_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise CheckpointError(f"{path}: not a file of Python; check the path")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InvalidArgument(f"{path} cannot be run: {reason}") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise InvalidArgument(f"expected a function {name} in {path}, got {type(function).__name__}")
    return function
