"""The device kernels as source: CUDA C++ for cupy.ElementwiseKernel, made without CuPy.

`T` is the arrays' floating type, `i` the element (or, in CROSS_ENTROPY, the sample) that a thread works on.
All arrays are passed raw: contiguous and counted from their beginning. Images are (n, h, w, c) in memory.
Nothing here is particular to CUDA, so that the tests compile the same text as C++ on the host.
"""

from __future__ import annotations

from dataclasses import dataclass

GEOMETRY = ", ".join(
    f"int32 {name}" for name in ("h", "w", "c", "oh", "ow", "kh", "kw", "sy", "sx", "py", "px", "dy", "dx")
)
"""Input and output sizes, channels, window, stride, padding, dilation."""


@dataclass(frozen=True, slots=True)
class Source:
    """A kernel: inputs and outputs as ElementwiseKernel declares them, and the body for element i."""

    name: str
    inputs: str
    outputs: str
    body: str


def relu(value: str) -> str:
    """Statement that makes a variable 0 unless it is above 0 or NaN."""
    return f"if (!({value} > 0) && {value} == {value}) {value} = 0;"


IM2COL = Source(
    "armour_im2col",
    f"raw T x, int64 in, int64 ih, int64 iw, int64 ic, {GEOMETRY}",
    "raw T y",
    """
    const long long width = (long long)kh * kw * c, p = i / width, m = p / ow, n = m / oh;
    const int r = (int)(i - p * width), ch = r % c, b = r / c % kw, a = r / c / kw;
    const int u = (int)(m - n * oh) * sy - py + a * dy, v = (int)(p - m * ow) * sx - px + b * dx;
    const bool inside = u >= 0 && u < h && v >= 0 && v < w;
    y[i] = inside ? x[n * in + u * ih + v * iw + ch * ic] : (T)0;
    """,
)
"""Columns (n * oh * ow, kh * kw * c) of x, whose steps along n, h, w and c are in, ih, iw and ic elements."""


def col2im(add: bool, mask: bool) -> Source:
    """The sum of all columns that an image's element is in, as a gather; plus `other`; 0 where `seen` is."""
    more = (", raw T other" if add else "") + (", raw T seen" if mask else "")
    name = "armour_col2im" + ("_add" if add else "") + ("_mask" if mask else "")
    return Source(
        name,
        f"raw T y{more}, {GEOMETRY}",
        "raw T x",
        f"""
    const long long q = i / c, m = q / w, n = m / h;
    const int ch = (int)(i - q * c), u = (int)(m - n * h) + py, v = (int)(q - m * w) + px;
    T total = 0;
    for (int a = 0; a < kh; a++) {{
      const int s = u - a * dy, o = s / sy;
      if (s < 0 || o * sy != s || o >= oh) continue;
      for (int b = 0; b < kw; b++) {{
        const int t = v - b * dx, k = t / sx;
        if (t < 0 || k * sx != t || k >= ow) continue;
        total += y[(((n * oh + o) * ow + k) * kh * kw + a * kw + b) * c + ch];
      }}
    }}
    {"total += other[i];" if add else ""}
    {"total *= (T)(seen[i] != 0);" if mask else ""}
    x[i] = total;
    """,
    )


def epilogue(bias: bool, residual: bool, rectify: bool) -> Source:
    """What follows a product, in place: plus a bias of c channels, plus a shortcut, relu."""
    inputs = [*(["raw T b", "int32 c"] if bias else []), *(["raw T r"] if residual else [])]
    name = "armour_after" + "_bias" * bias + "_residual" * residual + "_relu" * rectify
    return Source(
        name,
        ", ".join(inputs),
        "raw T y",
        f"""
    T value = y[i];
    {"value += b[i % c];" if bias else ""}
    {"value += r[i];" if residual else ""}
    {relu("value") if rectify else ""}
    y[i] = value;
    """,
    )


MAX_POOL = Source(
    "armour_max_pool",
    f"raw T x, {GEOMETRY}",
    "raw T y",
    """
    const long long q = i / c, m = q / ow, n = m / oh;
    const int ch = (int)(i - q * c), top = (int)(m - n * oh) * sy, left = (int)(q - m * ow) * sx;
    T best = x[((n * h + top) * w + left) * c + ch];
    for (int a = 0; a < kh; a++)
      for (int b = 0; b < kw; b++) {
        const T value = x[((n * h + top + a) * w + left + b) * c + ch];
        if (value > best || value != value) best = value;
      }
    y[i] = best;
    """,
)
"""The largest value of each window; NaN wins."""

MAX_UNPOOL = Source(
    "armour_max_unpool",
    f"raw T g, raw T x, raw T y, {GEOMETRY}",
    "raw T out",
    """
    const long long q = i / c, m = q / w, n = m / h;
    const int ch = (int)(i - q * c), u = (int)(m - n * h), v = (int)(q - m * w);
    T total = 0;
    for (int o = u < kh ? 0 : (u - kh) / sy + 1; o < oh && o * sy <= u; o++)
      for (int k = v < kw ? 0 : (v - kw) / sx + 1; k < ow && k * sx <= v; k++) {
        const long long at = ((n * oh + o) * ow + k) * c + ch;
        const T best = y[at];
        int place = 0;
        while (place < kh * kw - 1
               && x[((n * h + o * sy + place / kw) * w + k * sx + place % kw) * c + ch] != best) place++;
        if (place == (u - o * sy) * kw + v - k * sx) total += g[at];
      }
    out[i] = total;
    """,
)
"""g at the first maximum y of each window of x; the last place takes what no other has (NaN)."""

CROSS_ENTROPY = Source(
    "armour_cross_entropy",
    "raw T z, raw int64 labels, int32 k",
    "raw T loss, raw T slope",
    """
    const long long label = labels[i], row = i * k;
    const bool known = label >= 0 && label < k;
    T top = z[row], others = 0;
    for (int j = 1; j < k; j++) {
      const T value = z[row + j];
      if (value > top || value != value) top = value;
    }
    const T gap = known ? top - z[row + label] : top - top + (T)nan("");
    for (int j = 0; j < k; j++) if (j != label) others += exp(z[row + j] - top);
    const T whole = exp(-gap) + others;
    loss[i] = gap + log1p(others + expm1(-gap));
    for (int j = 0; j < k; j++) slope[row + j] = j == label ? -others / whole : exp(z[row + j] - top) / whole;
    """,
)
"""Cross-entropy of a sample and its gradient, as armour/tensor/losses.py writes them; NaN for no class."""

EXPRESSIONS = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "negative": "-{0}",
    "abs": "fabs({0})",
    **{name: name + "({0})" for name in ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tanh")},
    "maximum": "{0} >= {1} || {0} != {0} ? {0} : {1}",
    "minimum": "{0} <= {1} || {0} != {0} ? {0} : {1}",
    "sign": "{0} != {0} ? {0} : (T)(({0} > 0) - ({0} < 0))",
    "relu": "{0} > 0 || {0} != {0} ? {0} : (T)0",
    "relu_grad": "{0} * (T)({1} != 0)",
    "sigmoid": "(T)1 / ((T)1 + exp(-{0}))",
}
"""Elementwise rows as expressions of their inputs."""

Ops = tuple[tuple[str, tuple[int, ...]], ...]


def chain(ops: Ops, single: tuple[bool, ...]) -> Source:
    """Elementwise rows one after the other in one pass. single: for each input, whether it has one element.

    ops: (row, operands), where an operand is the number of an input, or after those of an earlier row.
    """
    names = [f"x{j}[{'0' if one else 'i'}]" for j, one in enumerate(single)]
    lines = []
    for number, (row, operands) in enumerate(ops):
        lines.append(f"const T v{number} = {EXPRESSIONS[row].format(*(names[j] for j in operands))};")
        names.append(f"v{number}")
    text = "".join(f"_{row}_{'_'.join(map(str, operands))}" for row, operands in ops)
    ones = "".join("s" if one else "a" for one in single)
    inputs = ", ".join(f"raw T x{j}" for j in range(len(single)))
    return Source(
        f"armour_chain_{ones}{text}", inputs, "raw T y", "\n".join([*lines, f"y[i] = {names[-1]};"])
    )
