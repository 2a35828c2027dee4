"""The image mutators that leave every pixel where it is: one row for each array function, with its range.

Lengths are fractions of the shorter side and levels fractions of the span, so a range suits every size and
every bounds.
"""

from __future__ import annotations

from armour import blur, compression, noise, occlusion, transforms, weather
from armour.bounds import Bounds
from armour.rng import Streams
from armour.tensor.backend import Array

from .mutators import Param, mutator, side


@mutator("brightness", "light", Param("delta", -0.2, 0.2))
def _brightness(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return transforms.brightness(x, p[0], bounds)


@mutator("contrast", "light", Param("factor", 0.5, 1.6, 1.0))
def _contrast(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return transforms.contrast(x, p[0], bounds)


@mutator("gamma", "light", Param("exponent", -0.7, 0.7))
def _gamma(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return transforms.gamma(x, p[0], bounds)


@mutator("luminance-gradient", "light", Param("delta", 0.0, 0.2), Param("deg", -180.0, 180.0))
def _luminance_gradient(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return transforms.luminance_gradient(x, p[0], p[1], bounds)


@mutator("spot", "light", Param("delta", -0.2, 0.2))
def _spot(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return transforms.spot(x, p[0], streams, bounds)


@mutator("saturate", "colour", Param("factor", 0.0, 2.0, 1.0), min_channels=2)
def _saturate(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return transforms.saturate(x, p[0], bounds)


@mutator("tint", "colour", Param("amount", 0.0, 0.3), min_channels=2)
def _tint(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return transforms.tint(x, p[0], streams, bounds)


@mutator("channel-drop", "colour", Param("amount", 0.0, 0.4), min_channels=2)
def _channel_drop(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return transforms.channel_drop(x, p[0], streams, bounds)


@mutator("gaussian-noise", "noise", Param("sigma", 0.0, 0.08))
def _gaussian_noise(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return noise.gaussian_noise(x, p[0], streams, bounds)


@mutator("uniform-noise", "noise", Param("amplitude", 0.0, 0.2))
def _uniform_noise(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return noise.uniform_noise(x, p[0], streams, bounds)


@mutator("shot-noise", "noise", Param("sigma", 0.0, 0.1))
def _shot_noise(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return noise.shot_noise(x, p[0], streams, bounds)


@mutator("speckle-noise", "noise", Param("sigma", 0.0, 0.15))
def _speckle_noise(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return noise.speckle_noise(x, p[0], streams, bounds)


@mutator("impulse-noise", "noise", Param("amount", 0.0, 0.02))
def _impulse_noise(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return noise.impulse_noise(x, p[0], streams, bounds)


@mutator("gaussian-blur", "blur", Param("sigma", 0.0, 0.04))
def _gaussian_blur(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return blur.gaussian_blur(x, p[0] * side(x), bounds)


@mutator("box-blur", "blur", Param("radius", 0.0, 0.04))
def _box_blur(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return blur.box_blur(x, p[0] * side(x), bounds)


@mutator("motion-blur", "blur", Param("length", 0.0, 0.12), Param("deg", -90.0, 90.0))
def _motion_blur(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return blur.motion_blur(x, p[0] * side(x), p[1], bounds)


@mutator("defocus-blur", "blur", Param("radius", 0.0, 0.06))
def _defocus_blur(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return blur.defocus_blur(x, p[0] * side(x), bounds)


@mutator("sharpen", "blur", Param("amount", 0.0, 2.0))
def _sharpen(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return blur.sharpen(x, p[0], bounds)


@mutator("pixelate", "compression", Param("block", 0.0, 0.1))
def _pixelate(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return compression.pixelate(x, 1 + p[0] * side(x), bounds)


@mutator("jpeg", "compression", Param("coarseness", 0.0, 4.0))
def _jpeg(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return compression.jpeg(x, p[0], bounds)


@mutator("quantise", "compression", Param("step", 0.0, 0.35))
def _quantise(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return compression.quantise(x, p[0], bounds)


@mutator("occlude", "occlusion", Param("size", 0.0, 0.2))
def _occlude(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return occlusion.occlude(x, p[0] * side(x), streams, bounds)


@mutator("pixel-change", "occlusion", Param("share", 0.0, 0.02))
def _pixel_change(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return occlusion.pixel_change(x, p[0], streams, bounds)


@mutator("fog", "weather", Param("thickness", 0.0, 0.5))
def _fog(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return weather.fog(x, p[0], streams, bounds)


@mutator("snow", "weather", Param("amount", 0.0, 0.05))
def _snow(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return weather.snow(x, p[0], streams, bounds)


@mutator("spatter", "weather", Param("amount", 0.0, 0.3))
def _spatter(x: Array, p: Array, streams: Streams, bounds: Bounds) -> Array:
    return weather.spatter(x, p[0], streams, bounds)


@mutator("crossover", "crossover", Param("size", 0.0, 0.3), paired=True)
def _crossover(x: Array, p: Array, streams: Streams, bounds: Bounds, partners: Array) -> Array:
    return occlusion.paste(x, partners, p[0] * side(x), streams, bounds)


@mutator("blend", "crossover", Param("amount", 0.0, 0.3), paired=True)
def _blend(x: Array, p: Array, streams: Streams, bounds: Bounds, partners: Array) -> Array:
    return occlusion.blend(x, partners, p[0], bounds)
