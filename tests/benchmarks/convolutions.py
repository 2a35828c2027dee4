"""Convolutions of small networks, layer by layer: oneDNN and NumPy kernels against PyTorch, one thread.

`make bench BENCH=convolutions` runs it; `ARGS="--layers 16-16 --works fwd dx --batches 8 --seconds 1"` runs a
part. Ratios are to PyTorch's NCHW convolution in thread CPU time: below 1 is faster. PyTorch is timed with
channels_last too, since a convolution of ours reads and writes (n, h, w, c). All results are compared first.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np

from armour.tensor.kernels import narrow, numpy_kernels, onednn
from benchmarks import harness

# channels in, height and width, channels out, kernel, stride, padding
LAYERS = {
    "1-6 5x5@28": (1, 28, 6, 5, 1, 2),
    "6-16 5x5@14": (6, 14, 16, 5, 1, 0),
    "3-16 3x3@32": (3, 32, 16, 3, 1, 1),
    "16-16 3x3@32": (16, 32, 16, 3, 1, 1),
    "32-32 3x3@16": (32, 16, 32, 3, 1, 1),
    "64-64 3x3@8": (64, 8, 64, 3, 1, 1),
    "16-32 3x3 s2@32": (16, 32, 32, 3, 2, 1),
    "16-32 1x1 s2@32": (16, 32, 32, 1, 2, 0),
    "64-64 1x1@8": (64, 8, 64, 1, 1, 0),
}
WORKS = ("fwd", "dx", "dw")
BATCHES = (1, 8, 32, 256)


class Layer:
    """Arrays of one layer at one batch size, as NumPy (n, h, w, c) and as PyTorch in two memory formats."""

    def __init__(self, name: str, n: int) -> None:
        import torch

        c, size, o, k, s, p = LAYERS[name]
        out = numpy_kernels.out_size(size, k, s, p)
        rng = np.random.default_rng(0)
        self.x, self.g, self.w = (
            rng.standard_normal(shape, dtype=np.float32)
            for shape in ((n, size, size, c), (n, out, out, o), (o, c, k, k))
        )
        self.stride, self.padding = (s, s), (p, p)
        self.flops = 2 * self.g.size * c * k * k
        plain = [
            torch.from_numpy(np.ascontiguousarray(a))
            for a in (self.x.transpose(0, 3, 1, 2), self.g.transpose(0, 3, 1, 2), self.w)
        ]
        last = [t.contiguous(memory_format=torch.channels_last) for t in plain]
        self.theirs = {"torch": plain, "torch channels_last": last}

    def torch_call(self, name: str, work: str) -> Any:
        """The eager call."""
        import torch

        x, g, w = self.theirs[name]
        if work == "fwd":
            return lambda: torch.nn.functional.conv2d(x, w, None, self.stride, self.padding)
        mask = [work == "dx", work == "dw", False]
        rest = (self.stride, self.padding, (1, 1), False, (0, 0), 1, mask)
        return lambda: torch.ops.aten.convolution_backward(g, x, w, None, *rest)[mask.index(True)]

    def numpy_call(self, work: str) -> Any:
        """Our reference kernels."""
        x, g = self.x.transpose(0, 3, 1, 2), self.g.transpose(0, 3, 1, 2)
        rest = (self.stride, self.padding, (1, 1), 1)
        if work == "fwd":
            return lambda: numpy_kernels.conv2d(np, x, self.w, None, *rest)
        if work == "dx":
            return lambda: numpy_kernels.conv2d_input_grad(np, g, self.w, x.shape[2:], *rest)
        return lambda: numpy_kernels.conv2d_weight_grad(np, x, g, self.w.shape[2:], *rest)

    def onednn_call(self, work: str) -> tuple[Any, np.ndarray]:
        """A primitive's run, and the array it writes, as the others return it."""
        window: dict[str, Any] = {
            "stride": self.stride,
            "padding": ((self.padding[0],) * 2, (self.padding[1],) * 2),
        }
        if work == "dw":
            out = np.empty_like(self.w)
            return onednn.ConvWeightGrad(self.x, self.g, out, **window).run, out
        if work == "fwd":
            out = np.empty_like(self.g)
            conv = onednn.ConvForward(self.x, self.w.shape, out, **window)
        elif narrow.suits(self.w.shape, self.x.shape[1:3], **window):
            planes = np.empty((self.x.shape[0], self.x.shape[3], *self.x.shape[1:3]), np.float32)
            few = narrow.NarrowInputGrad(self.g, self.w.shape, planes, window["padding"])
            few.load(self.w)
            return few.run, planes
        else:
            out = np.empty_like(self.x)
            conv = onednn.ConvInputGrad(self.g, self.w.shape, out, **window)
        conv.load(self.w)
        return conv.run, out.transpose(0, 3, 1, 2)


def candidates(layer: Layer, work: str, numpy_too: bool) -> list[harness.Candidate]:
    """PyTorch NCHW first, then the others, after checking that all give the same numbers."""
    want = layer.torch_call("torch", work)().numpy()
    found = [harness.Candidate(name, layer.torch_call(name, work)) for name in layer.theirs]
    run, out = layer.onednn_call(work)
    run()
    same(f"oneDNN {work}", out, want)
    found.append(harness.Candidate("onednn", run))
    if numpy_too:
        call = layer.numpy_call(work)
        same(f"NumPy {work}", call(), want)
        found.append(harness.Candidate("numpy", call))
    return found


def same(what: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Stop if the two differ by more than rounding."""
    difference = float(np.abs(ours - theirs).max()) / float(np.abs(theirs).max())
    if ours.shape != theirs.shape or not difference <= 1e-4:
        raise SystemExit(f"{what}: differs from PyTorch by {difference:.2e} of the largest value")


def peak() -> float:
    """GFLOP/s of NumPy's product of matrices of 1024 x 1024."""
    a = np.random.default_rng(0).standard_normal((1024, 1024), dtype=np.float32)
    out = np.empty_like(a)
    (timing,) = harness.compare([harness.Candidate("sgemm", lambda: np.matmul(a, a, out=out))], seconds=1.0)
    return float(2 * 1024**3 / timing.summary()["cpu_seconds"] / 1e9)


def main() -> int:
    """Run the chosen cases, print a table, write build/bench/convolutions.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", nargs="+", default=[""], help="parts of names")
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES))
    parser.add_argument("--seconds", type=float, default=1.0, help="per comparison")
    parser.add_argument("--numpy", action="store_true", help="time our NumPy kernels too")
    args = parser.parse_args()
    try:
        import torch
    except ImportError:
        print("skipped: PyTorch is not installed here; `make bench` builds an environment that has it")
        return 0
    if not onednn.available():
        print(f"skipped: oneDNN cannot be used: {onednn.why_not()}")
        return 0
    cases = []
    with harness.one_thread(), onednn.one_thread(), torch.no_grad():
        found = harness.machine()
        print("\n".join(harness.describe(found)))
        most = peak()
        print(f"sgemm 1024: {most:.0f} GFLOP/s; ratios to torch NCHW in thread CPU time; below 1 is faster\n")
        names = ["torch", "torch channels_last", "onednn", *(["numpy"] if args.numpy else [])]
        head = "".join(f"{name:>21}" for name in names[1:])
        print(f"{'layer':<17}{'work':<5}{'n':>4}{'torch us':>10}{head}{'of sgemm':>10}")
        for name in (name for name in LAYERS if any(part in name for part in args.layers)):
            for work in args.works:
                for n in args.batches:
                    layer = Layer(name, n)
                    timings = harness.compare(candidates(layer, work, args.numpy), seconds=args.seconds)
                    cases.append(harness.case({"layer": name, "n": n, "work": work}, timings))
                    rows = {t.name: t.summary() for t in timings}
                    rate = layer.flops / rows["onednn"]["cpu_seconds"] / 1e9
                    columns = "".join(
                        f"{'{:.2f} ({:.2f}-{:.2f})'.format(row['ratio'], *row['ratio_quartiles']):>21}"
                        for row in list(rows.values())[1:]
                    )
                    print(
                        f"{name:<17}{work:<5}{n:>4}{rows['torch']['cpu_seconds'] * 1e6:>10.0f}{columns}"
                        f"{rate / most:>10.0%}",
                        flush=True,
                    )
    print(f"\nwrote {harness.write('convolutions', found, cases).relative_to(harness.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
