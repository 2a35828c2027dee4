"""What tests of commands share."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_models

import armour


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that records the data set digits."""
    path = tmp_path_factory.mktemp("model") / "centroids.ckpt"
    net = small_models.centroids(*small_models.digits())
    net.provenance["data"] = {"name": "digits"}
    armour.save(net, path)
    return path
