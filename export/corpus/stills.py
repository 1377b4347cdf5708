"""Captioned stills of the same things as the shapes corpus: what the towers learn before they see motion.

They stand for the image-text pairs that CLIP was trained on, at this corpus' size.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .shapes import CANVAS, Split, Story, appearance, paint, random_story

PLACES = {
    "at the left": (-1, 0),
    "at the right": (1, 0),
    "at the top": (0, -1),
    "at the bottom": (0, 1),
    "in the middle": (0, 0),
}


def still_caption(story: Story) -> str:
    """The still's caption."""
    return " and ".join(map(str, story))


def random_still(rng: np.random.Generator, split: Split) -> Story:
    """One thing or two, each in a place of its own."""
    things = random_story(rng, split, two_events=0.5)
    places = rng.choice(list(PLACES), len(things), replace=False)
    return tuple(replace(thing, motion=str(place)) for thing, place in zip(things, places, strict=True))


def rearranged(rng: np.random.Generator, story: Story) -> Story:
    """The same things in other places."""
    while True:
        places = rng.choice(list(PLACES), len(story), replace=False)
        moved = tuple(replace(thing, motion=str(place)) for thing, place in zip(story, places, strict=True))
        if moved != story:
            return moved


def render_still(story: Story, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw one RGB frame [1, CANVAS, CANVAS, 3]."""
    frame = np.empty((CANVAS, CANVAS, 3), np.float32)
    frame[:] = rng.uniform(0, 60, 3)
    for thing in story:
        radius, colour = appearance(thing, rng)
        room = CANVAS / 2 - radius - 2
        center = CANVAS / 2 + room * (0.85 * np.array(PLACES[thing.motion]) + rng.uniform(-0.15, 0.15, 2))
        paint(frame, thing.shape, center, radius, colour)
    noisy = frame + rng.normal(0, 4, frame.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)[None]
