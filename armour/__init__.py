"""armour: robustness and security evaluation of machine-learning models."""

from __future__ import annotations

from pathlib import Path

# In the repository the sub-packages stand beside this folder; in a wheel they are inside it.
_here = Path(__file__).resolve().parent
if not (_here / "tensor").is_dir():
    __path__.append(str(_here.parent))
