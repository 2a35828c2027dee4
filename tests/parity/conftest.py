"""These tests compare with PyTorch and others, and run in an environment of their own: `make parity`."""

from __future__ import annotations

from importlib.util import find_spec

# Without the peers nothing here is collected, so that `make test` needs none of them.
collect_ignore_glob = [] if find_spec("torch") and find_spec("foolbox") else ["test_*.py"]
