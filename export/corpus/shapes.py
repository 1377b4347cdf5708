"""The shapes corpus: what its clips show and how they are captioned.

A clip shows one event or two in turn; an event is a sized, coloured shape that moves or just appears. Direction and
order can't be told from any single frame, and every clip has hard negatives that differ in nothing else.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CANVAS = 96
FRAME_RATE = 12

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 200, 60),
    "blue": (50, 70, 230),
    "yellow": (230, 220, 50),
    "white": (240, 240, 240),
    "purple": (170, 60, 200),
}
SHAPES = ("circle", "square", "triangle", "cross")
RADII = {"small": 14, "large": 25}
MOTIONS = {
    "moves left": (-1, 0),
    "moves right": (1, 0),
    "moves up": (0, -1),
    "moves down": (0, 1),
    "appears": (0, 0),
}
# One group of hard negatives in this many is held out of training, with all its captions.
HELD_OUT_SHARE = 8

Split = Literal["train", "test"]


@dataclass(frozen=True)
class Event:
    """One shape and what it does."""

    size: str
    colour: str
    shape: str
    motion: str

    def __str__(self) -> str:
        return f"a {self.size} {self.colour} {self.shape} {self.motion}"

    @property
    def thing(self) -> str:
        """What moves, without how."""
        return f"{self.size} {self.colour} {self.shape}"


Story = tuple[Event, ...]


def caption(story: Story) -> str:
    """The clip's caption."""
    return ", then ".join(map(str, story))


def group(story: Story) -> str:
    """What the clip shares with its hard negatives: the things, whatever they do in whatever order."""
    return " + ".join(sorted(event.thing for event in story))


def split_of(story: Story) -> Split:
    """Whether the story's group belongs to training or is held out."""
    return "test" if hashlib.sha256(group(story).encode()).digest()[0] % HELD_OUT_SHARE == 0 else "train"


def random_story(rng: np.random.Generator, split: Split, *, two_events: float = 0.75) -> Story:
    """A story of the given split, of two events with probability ``two_events``."""
    while True:
        story = tuple(_random_event(rng) for _ in range(2 if rng.random() < two_events else 1))
        if len({event.thing for event in story}) == len(story) and split_of(story) == split:
            return story


def hard_negative(rng: np.random.Generator, story: Story) -> Story:
    """The same things with another order or another motion, so that single frames can't tell the two apart."""
    if len(story) == 2 and rng.random() < 0.5:
        return story[::-1]
    at = int(rng.integers(len(story)))
    motion = _opposite(story[at].motion) if rng.random() < 0.5 else str(rng.choice(list(MOTIONS)))
    if motion == story[at].motion:
        return hard_negative(rng, story)
    return (*story[:at], replace(story[at], motion=motion), *story[at + 1 :])


def _random_event(rng: np.random.Generator) -> Event:
    return Event(*(str(rng.choice(list(choices))) for choices in (RADII, COLOURS, SHAPES, MOTIONS)))


def _opposite(motion: str) -> str:
    x, y = MOTIONS[motion]
    return next(name for name, direction in MOTIONS.items() if direction == (-x, -y))


def render(story: Story, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a clip of two to three and a half seconds.

    Returns:
        RGB frames [N, CANVAS, CANVAS, 3].
    """
    count = int(rng.integers(2 * FRAME_RATE, 7 * FRAME_RATE // 2 + 1))
    frames = np.empty((count, CANVAS, CANVAS, 3), np.float32)
    frames[:] = rng.uniform(0, 60, 3)
    cut = count if len(story) == 1 else int(rng.integers(2 * count // 5, 3 * count // 5 + 1))
    for event, span in zip(story, (slice(0, cut), slice(cut, count)), strict=False):
        _draw(frames[span], event, rng)
    return np.clip(frames + rng.normal(0, 4, frames.shape), 0, 255).astype(np.uint8)


def _draw(frames: NDArray[np.float32], event: Event, rng: np.random.Generator) -> None:
    radius, colour = appearance(event, rng)
    room = CANVAS / 2 - radius - 2
    direction = np.array(MOTIONS[event.motion], float)
    drift = rng.uniform(-0.6, 0.6, 2) * room
    travel = room * rng.uniform(0.75, 1.0)
    # Across the direction of travel the shape keeps its place; along it, it crosses the canvas.
    place = np.where(direction == 0, drift if not direction.any() else drift / 2, 0)
    for frame, moment in zip(frames, np.linspace(-1, 1, len(frames)), strict=True):
        paint(frame, event.shape, CANVAS / 2 + place + travel * moment * direction, radius, colour)


def appearance(event: Event, rng: np.random.Generator) -> tuple[float, NDArray[np.float32]]:
    """The radius in pixels and the RGB colour of a thing, each a little different every time."""
    colour = np.array(COLOURS[event.colour], np.float32) + rng.uniform(-12, 12, 3).astype(np.float32)
    return RADII[event.size] * float(rng.uniform(0.9, 1.1)), colour


def paint(
    frame: NDArray[np.float32],
    shape: str,
    center: NDArray[np.float64],
    radius: float,
    colour: NDArray[np.float32],
) -> None:
    """Draw one shape around ``center`` (x, y) onto a frame [CANVAS, CANVAS, 3]."""
    rows, columns = np.mgrid[0:CANVAS, 0:CANVAS]
    frame[_mask(shape, columns - center[0], rows - center[1], radius)] = colour


def _mask(shape: str, x: NDArray[np.float64], y: NDArray[np.float64], radius: float) -> NDArray[np.bool_]:
    if shape == "circle":
        return x * x + y * y <= radius * radius
    if shape == "square":
        return np.maximum(abs(x), abs(y)) <= 0.88 * radius
    if shape == "triangle":
        return (y <= 0.8 * radius) & (abs(x) <= 0.6 * (y + radius))
    arm = 0.36 * radius
    return ((abs(x) <= arm) & (abs(y) <= radius)) | ((abs(y) <= arm) & (abs(x) <= radius))
