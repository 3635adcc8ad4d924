"""Linear CKA, held to what must not and what must change it."""

from __future__ import annotations

import numpy as np
import pytest

from tawt.evaluation.alike import linear_cka


def test_rotation_scale_and_place_change_nothing_and_noise_does() -> None:
    """1 for the same up to rotation, scale and centre; near 0 for independent ones; between for a mixture."""
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(4000, 6)), rng.normal(size=(4000, 9))
    turned = 3 * x @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 7
    assert linear_cka(x, turned) == pytest.approx(1) and linear_cka(x, noise) < 0.01
    assert 0.2 < linear_cka(x, np.hstack([x, noise])) < 0.95
    assert linear_cka(x, np.ones((4000, 2))) == 0


def test_it_is_the_quotient_of_kernels() -> None:
    """The same by the definition over kernels of all pairs of subjects."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(30, 4)), rng.normal(size=(30, 3))
    h = np.eye(30) - 1 / 30
    k, m = (h @ a @ a.T @ h for a in (x, y))
    assert linear_cka(x, y) == pytest.approx((k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum()))
