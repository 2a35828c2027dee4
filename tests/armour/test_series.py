"""Changes of time series, against formulas, NumPy's interpolation and the Fourier transform."""

from __future__ import annotations

import numpy as np
import pytest

from armour import series
from armour.bounds import Bounds
from armour.rng import generator, per_item

UNIT = Bounds(-1, 1)


def sounds(n: int = 20, lines: int = 2, length: int = 300) -> np.ndarray:
    """Some sines with noise, well inside the bounds."""
    rng = np.random.default_rng(0)
    t = np.arange(length)
    tone = np.sin(2 * np.pi * rng.uniform(0.01, 0.2, (n, lines, 1)) * t + rng.uniform(0, 6, (n, lines, 1)))
    return (0.3 * tone + 0.05 * rng.standard_normal((n, lines, length)) + 0.1).astype(np.float32)


def full(value: float, n: int = 20) -> np.ndarray:
    """(n,) strengths."""
    return np.full(n, value, np.float32)


def test_gain_is_in_decibels() -> None:
    x = sounds()
    mean = x.reshape(len(x), -1).mean(axis=1)[:, None, None]
    for decibels in (-20.0, 3.0, 6.0):
        out = series.gain(x, full(decibels), Bounds(-9, 9))
        np.testing.assert_allclose(out - mean, (x - mean) * 10 ** (decibels / 20), atol=1e-5)


def test_limiting_cuts_the_peaks_alone() -> None:
    x = sounds()
    mean = x.reshape(len(x), -1).mean(axis=1)[:, None, None]
    reach = 0.6 * np.abs(x - mean).reshape(len(x), -1).max(axis=1)[:, None, None]
    out = series.limit(x, full(0.4), UNIT)
    np.testing.assert_allclose(out, np.clip(x, mean - reach, mean + reach), atol=1e-6)


def test_drift_ends_at_its_amount() -> None:
    x = sounds()
    out = series.drift(x, full(0.5), full(0.2), UNIT)
    np.testing.assert_allclose(out - x, np.broadcast_to(0.1 * np.arange(300) / 299, x.shape), atol=1e-6)


@pytest.mark.parametrize("rate", [0.9, 1.07])
def test_stretching_is_linear_interpolation_about_the_middle(rate: float) -> None:
    x = sounds(3)
    out = series.stretch(x, full(rate, 3), UNIT)
    at = (np.arange(300) - 149.5) / np.float32(rate) + 149.5
    for row, line in ((0, 0), (2, 1)):
        np.testing.assert_allclose(out[row, line], np.interp(at, np.arange(300), x[row, line]), atol=2e-4)


def test_resampling_joins_every_other_sample() -> None:
    x = sounds(3, length=301)
    out = series.resample(x, full(3.0, 3), UNIT)
    kept = np.arange(0, 301, 3)
    for row, line in ((0, 0), (1, 1)):
        np.testing.assert_allclose(
            out[row, line], np.interp(np.arange(301), kept, x[row, line, kept]), atol=1e-5
        )


def test_a_band_is_taken_out_and_nothing_else() -> None:
    x = sounds(200)
    out = series.band_stop(x, full(0.2, 200), per_item(generator(0), 200), Bounds(-9, 9))
    before, after = np.fft.rfft(x), np.fft.rfft(out)
    gone = (np.abs(after) < 1e-3) & (np.abs(before) > 1e-2)
    kept = np.abs(after - before) < 1e-3
    assert (gone | kept).mean() > 0.999 and kept[:, :, 0].all()
    firsts = []
    for own in gone[:, 0]:
        places = np.flatnonzero(own)
        assert 25 <= len(places) <= 30 and places[-1] - places[0] < 30, "30 bins in a row of 150"
        firsts.append(places[0])
    assert min(firsts) < 15 and max(firsts) > 105


def test_silence_and_stuck_sensors() -> None:
    x = sounds(100, lines=3)
    silent = series.drop_out(x, full(0.1, 100), per_item(generator(1), 100), UNIT)
    mean = x.reshape(100, -1).mean(axis=1)
    stuck = series.freeze(x, full(0.2, 100), per_item(generator(1), 100), UNIT)
    lines = set()
    for i in range(100):
        places = np.flatnonzero((silent[i] != x[i]).all(axis=0))
        assert len(places) == 30 and places[-1] - places[0] == 29
        assert (silent[i][:, places] == mean[i]).all()
        line = np.flatnonzero((stuck[i] != x[i]).any(axis=1))
        assert len(line) == 1
        lines.add(int(line[0]))
        held = np.flatnonzero(stuck[i, line[0]] != x[i, line[0]])
        first = held[0] - 1 if held[0] else 0
        assert held[-1] - held[0] <= 59 and len(set(stuck[i, line[0], held].tolist())) == 1
        assert stuck[i, line[0], held[0]] == x[i, line[0], first]
    assert lines == {0, 1, 2}


@pytest.mark.parametrize("shape", [(1,), (1, 1), (2, 1), (3, 2)])
def test_the_shortest_series(shape: tuple[int, ...]) -> None:
    x = np.full((4, *shape), 0.25, np.float32)
    streams = per_item(generator(0), 4)
    for out in (
        series.gain(x, full(6.0, 4), UNIT),
        series.limit(x, full(0.5, 4), UNIT),
        series.drift(x, full(1.0, 4), full(0.1, 4), UNIT),
        series.stretch(x, full(1.1, 4), UNIT),
        series.resample(x, full(4.0, 4), UNIT),
        series.drop_out(x, full(0.1, 4), streams, UNIT),
        series.freeze(x, full(0.1, 4), streams, UNIT),
        series.band_stop(x, full(0.2, 4), streams, UNIT),
    ):
        assert out.shape == x.shape and out.dtype == np.float32 and np.isfinite(out).all()
