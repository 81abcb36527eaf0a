"""Style of the images: colours with a fixed meaning, fonts, and a few shapes.

Colours are those of Okabe and Ito ("Color Universal Design", 2008), which are distinguishable under
the common colour-vision deficiencies. True values are filled in a lighter tone; predictions are
outlines in the full tone.
"""

from __future__ import annotations

import functools
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Color: TypeAlias = tuple[int, int, int]

BACKGROUND: Color = (255, 255, 255)
PANEL: Color = (246, 246, 244)
INK: Color = (30, 30, 30)
FAINT: Color = (118, 118, 118)
LINE: Color = (205, 205, 205)
COST: Color = (213, 94, 0)  # vermillion
REWARD: Color = (0, 158, 115)  # bluish green, as the goal that earns it
DREAM: Color = (0, 0, 0)  # predictions in general
BAR = 0.6  # tone of bars, for `tint`
DETAIL = 2  # supersampling factor of maps and rings, for smooth edges
SMALL, MEDIUM, LARGE = 14, 17, 24  # pixels


class Kind(NamedTuple):
    """Drawing style of one kind of object."""

    color: Color
    shape: str  # disc, diamond or square


KINDS: dict[str, Kind] = {  # blue hazards and a green goal, as the simulator shows them
    "goal": Kind(REWARD, "diamond"),
    "hazards": Kind((0, 114, 178), "disc"),
    "vases": Kind((86, 180, 233), "square"),
    "buttons": Kind((230, 159, 0), "disc"),
    "push_box": Kind((200, 180, 20), "square"),
    "gremlins": Kind((204, 121, 167), "square"),
    "pillars": Kind((118, 118, 118), "disc"),
    "circle": Kind(REWARD, "disc"),
    "walls": Kind((118, 118, 118), "square"),
    "sigwalls": Kind((118, 118, 118), "square"),
}
OTHER = Kind((118, 118, 118), "disc")


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's default font at `size` pixels; Latin letters only."""
    return ImageFont.load_default(size)


def tint(color: Color, share: float = 0.4) -> Color:
    """`share` of the colour, mixed with white."""
    r, g, b = (round(255 - share * (255 - value)) for value in color)
    return r, g, b


def meaningful() -> set[Color]:
    """Colours that have a meaning, with their tones."""
    things = {kind.color for kind in (*KINDS.values(), OTHER)}
    bars = {tint(color, BAR) for color in (COST, REWARD)}
    return {COST, REWARD, INK, FAINT, BACKGROUND, PANEL, *things, *map(tint, things), *bars}


def text(
    image: Image.Image,
    xy: tuple[float, float],
    words: str,
    size: int,
    color: Color = INK,
    anchor: str = "la",
) -> None:
    """Draw text at a point; `anchor` as in Pillow: la left top, ra right top, mm middle."""
    ImageDraw.Draw(image).text(xy, words, fill=color, font=font(size), anchor=anchor)


def badge(
    image: Image.Image, xy: tuple[int, int], words: str, background: Color, color: Color
) -> None:
    """Draw text on a coloured plate, 24 pixels high, with its top left corner at a point."""
    draw, (x, y) = ImageDraw.Draw(image), xy
    width = draw.textlength(words, font=font(SMALL))
    draw.rectangle((x, y, x + width + 16, y + 23), fill=background)
    draw.text((x + 8, y + 12), words, fill=color, font=font(SMALL), anchor="lm")


def mark(
    draw: ImageDraw.ImageDraw,
    kind: Kind,
    xy: tuple[float, float],
    radius: float,
    filled: bool,
    width: int = 2,
) -> None:
    """Draw an object: filled (true) or outlined (predicted)."""
    x, y = xy
    fill, outline = (tint(kind.color), None) if filled else (None, kind.color)
    if kind.shape == "disc":
        box = (x - radius, y - radius, x + radius, y + radius)
        draw.ellipse(box, fill, outline, width)
    elif kind.shape == "square":
        side = 0.85 * radius
        draw.rectangle((x - side, y - side, x + side, y + side), fill, outline, width)
    else:
        corners = [(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)]
        draw.polygon(corners, fill, outline, width)


def circle(draw: ImageDraw.ImageDraw, size: int, radius: float) -> None:
    """Draw a circle around the centre of a square; `radius` is a share of half its size."""
    low, high = size / 2 * (1 - radius), size / 2 * (1 + radius)
    draw.ellipse((low, low, high, high), outline=LINE, width=DETAIL)


def robot(draw: ImageDraw.ImageDraw, size: int, length: float, nose: float) -> None:
    """Draw a triangle at the centre of a square, pointing ahead, its tip `nose` lengths away."""
    middle = size / 2
    corners = [
        (middle, middle - nose * length),
        (middle - length, middle + length),
        (middle + length, middle + length),
    ]
    draw.polygon(corners, fill=INK)


def fitted(picture: np.ndarray, size: int) -> Image.Image:
    """Fit an image [h, w, c] uint8 into a square of `size`.

    Small images are enlarged without interpolation; the rest is left blank.
    """
    array = np.repeat(picture, 3, -1) if picture.shape[-1] == 1 else picture[..., :3]
    image = Image.fromarray(np.ascontiguousarray(array))
    scale = size / max(image.size)
    resample = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    image = image.resize((round(image.width * scale), round(image.height * scale)), resample)
    square = Image.new("RGB", (size, size), PANEL)
    square.paste(image, ((size - image.width) // 2, (size - image.height) // 2))
    return square
