"""Which object an anchor answers for: torchvision's rules, and what padding and empty images change."""

import jax.numpy as jnp
import numpy as np

from training.detection import matchers


def rules(overlaps, there):
    return {
        "match": matchers.by_overlap(overlaps, there, 0.7, 0.3, low_quality=False),
        "match_low": matchers.by_overlap(overlaps, there, 0.7, 0.3, low_quality=True),
        "match_ssd": matchers.with_best(overlaps, there, 0.5),
    }


def test_matches_are_those_of_torchvision(stored):
    for name, match in rules(jnp.asarray(stored["iou"]), jnp.ones(4, bool)).items():
        np.testing.assert_array_equal(match, stored[name], err_msg=name)


def test_padding_changes_nothing(stored):
    padded = jnp.concatenate([jnp.asarray(stored["iou"]), jnp.ones((3, 200))])
    for name, match in rules(padded, jnp.arange(7) < 4).items():
        np.testing.assert_array_equal(match, stored[name], err_msg=name)


def test_an_image_without_objects_is_background():
    for match in rules(jnp.ones((3, 20)), jnp.zeros(3, bool)).values():
        assert (match == matchers.BACKGROUND).all()


def test_every_object_has_an_anchor_but_for_the_best_of_two(stored):
    overlaps = jnp.array([[0.1, 0.2, 0.0], [0.05, 0.3, 0.1]])
    there = jnp.ones(2, bool)
    np.testing.assert_array_equal(matchers.with_best(overlaps, there, 0.5), [-1, 1, -1])
    np.testing.assert_array_equal(matchers.by_overlap(overlaps, there, 0.7, 0.3, True), [-1, 1, -1])
    np.testing.assert_array_equal(matchers.by_overlap(overlaps, there, 0.7, 0.1, False), [-2, -2, -2])


def test_a_centre_belongs_to_the_smallest_object_of_its_level():
    anchors = jnp.array([[8.0, 8, 16, 16], [12, 12, 28, 28], [88, 88, 96, 96]])  # centres 12, 20 and 92
    found = jnp.array([[4.0, 4, 24, 24], [0, 0, 40, 40], [0, 0, 0, 0]])
    there = jnp.array([True, True, False])
    match = lambda limits, radius=10.0: matchers.by_centre(found, there, anchors, jnp.array([limits] * 3), radius)
    np.testing.assert_array_equal(match((0.0, jnp.inf)), [0, 0, -1])
    np.testing.assert_array_equal(match((0.0, 20.0)), [0, 0, -1])
    np.testing.assert_array_equal(match((15.0, 100.0)), [1, 0, -1])  # 12 is 12 from the far side of the small one
    np.testing.assert_array_equal(match((0.0, jnp.inf), radius=0.3), [0, 1, -1])  # near the centres at 14 and 20
