"""Chest pictures of nobody: two lungs, ribs, a heart, noise, and a patch in one lung that shows how ill somebody is.

Where the chest lies in the picture, how large it is, how bright the picture is, in which lung the patch lies and where
there: all of that varies and says nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tawt.arrays import Floats

SIZE = 32
"""Pixels of a side."""
MOST = 2.5
"""Severities beyond look the same."""
BODY, LUNG = 165.0, 75.0
"""Grey of what lets no ray through, and of air."""
_NOISE = 7.0


def picture(severity: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return `(32, 32)` grey; the larger the severity, a standard normal number, the larger and whiter the patch."""
    shown = float(np.clip(severity, -MOST, MOST))
    y, x = np.meshgrid(*[np.linspace(-1, 1, SIZE)] * 2, indexing="ij")
    across, down = rng.uniform(-0.12, 0.12, 2)
    scale = rng.uniform(0.93, 1.07)
    x, y = (x - across) / scale, (y - down) / scale
    air = np.maximum(_inside(x, y, -0.42, 0.0, 0.29, 0.66), _inside(x, y, 0.42, 0.0, 0.29, 0.66))
    air *= 1 - 0.9 * _inside(x, y, 0.12, 0.32, 0.3, 0.3)  # the heart
    side = rng.choice((-1, 1))
    place = side * 0.45 + rng.uniform(-0.05, 0.05), rng.uniform(-0.32, 0.1)
    radius, opacity = 0.2 + 0.05 * shown, 0.5 + 0.19 * shown
    patch = opacity * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * radius**2))
    ribs = 0.12 * np.maximum(0, np.cos(2 * np.pi * (2.6 * y + 0.8 * np.abs(x) + rng.uniform(0, 1))))
    grey = BODY + (LUNG - BODY) * air * (1 - patch) * (1 - ribs)
    grey *= 1 - 0.75 * (1 - _inside(x, y, 0, 0.1, 0.95, 1.3))  # beside the body
    grey = grey * rng.uniform(0.95, 1.05) + rng.uniform(-8, 8) + _NOISE * rng.standard_normal(grey.shape)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def _inside(x: Floats, y: Floats, across: float, down: float, wide: float, high: float) -> Floats:
    """Return 1 within an ellipse and 0 outside, with a soft edge."""
    far = np.sqrt(((x - across) / wide) ** 2 + ((y - down) / high) ** 2)
    found: Floats = 1 / (1 + np.exp((far - 1) * 12))
    return found
