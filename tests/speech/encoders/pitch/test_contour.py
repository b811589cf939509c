"""Filling and centring of F0 tracks."""

import numpy as np
import pytest

from spirit_jax.speech.encoders.pitch.contour import contour, interpolate, subtract_mean

TRACK = np.array([0, 100.0, 0, 0, 130, 0])


def test_interpolation():
    np.testing.assert_allclose(interpolate(TRACK), [100, 100, 110, 120, 130, 130])
    np.testing.assert_allclose(interpolate(TRACK, fill_ends=False), [0, 100, 110, 120, 130, 0])
    # one voiced frame is no line
    np.testing.assert_array_equal(interpolate(np.array([0, 90.0, 0])), [0, 90, 0])
    np.testing.assert_array_equal(interpolate(np.zeros(3)), 0)


def test_mean():
    vuv = TRACK > 0
    np.testing.assert_allclose(subtract_mean(TRACK, vuv), [0, -15, 0, 0, 15, 0])
    np.testing.assert_allclose(subtract_mean(TRACK, vuv, mean=90), [0, 10, 0, 0, 40, 0])
    assert subtract_mean(TRACK.astype(np.float32), vuv).dtype == np.float32


def test_no_voiced_frame():
    nothing = np.zeros(6, bool)
    np.testing.assert_array_equal(subtract_mean(np.zeros(6), nothing), 0)
    assert np.isnan(subtract_mean(TRACK, nothing)[1])  # as published: there is no mean to take


def test_contour_is_relative_interpolated_and_flat_without_voice():
    f0 = np.zeros(320, np.float32)
    f0[40:80], f0[240:280] = 100, 200
    octaves = contour(f0, 20)
    assert octaves[0] == pytest.approx(-0.5)
    assert octaves[-1] == pytest.approx(0.5)
    assert np.all(np.diff(octaves) >= 0)
    np.testing.assert_allclose(contour(2 * f0, 20), octaves, atol=1e-6)
    np.testing.assert_array_equal(contour(np.zeros(320, np.float32), 20), np.zeros(20))
