"""Drawings are judged by their pixels: where, how wide, how faint, and how well they are seen."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from keypoint.drawing.canvas import ink_on
from keypoint.drawing.labels import place_words
from keypoint.drawing.persons import (
    draw_keypoints,
    fit_picture,
    fit_points,
    heatmap_overlay,
    heatmap_sheet,
    person_color,
    picture_sheet,
    training_sheet,
)
from keypoint.drawing.strokes import LEFT, MIDDLE, RIGHT, keypoint_colors
from keypoint.drawing.text import text_size
from keypoint.pose.codec import Codec
from keypoint.pose.skeleton import Skeleton, load_skeleton

SKELETON = load_skeleton("coco17")
POINTS = np.random.default_rng(0).uniform(30, 170, (1, 17, 2))
ARM = Skeleton("arm", ("a", "b"), (), (("a", "b"),), (1.0, 1.0))
STICK = Skeleton("stick", ("left_a", "right_a"), (("left_a", "right_a"),), (), (1.0, 1.0))
GROUNDS = [(0, 0, 0), (255, 255, 255), (128, 128, 128), LEFT, RIGHT, MIDDLE]


def plain(ground, height=200, width=200):
    return np.full((height, width, 3), ground, np.uint8)


def distance_to_segment(shape, a, b):
    """(H, W) px from each pixel to the nearest of 400 places along the segment."""
    y, x = np.indices(shape)
    return np.min([np.hypot(x - px, y - py) for px, py in np.linspace(a, b, 400)], axis=0)


def luminance(color):
    """WCAG 2.1's relative luminance of sRGB colours (..., 3)."""
    share = np.asarray(color, float) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    """WCAG 2.1's contrast ratio, 1 to 21."""
    pair = [luminance(one) + 0.05, luminance(other) + 0.05]
    return np.maximum(*pair) / np.minimum(*pair)


@pytest.mark.parametrize("ground", [0, 255])
def test_keypoints_are_drawn_where_they_are(ground):
    image = np.full((200, 200, 3), ground, np.uint8)
    drawn = draw_keypoints(image, POINTS, np.ones((1, 17)), SKELETON)
    assert (image == ground).all()  # the caller's image is untouched
    looked = 0
    for (x, y), color in zip(POINTS[0], keypoint_colors(SKELETON), strict=True):
        others = np.delete(POINTS[0], np.flatnonzero((POINTS[0] == [x, y]).all(1)), axis=0)
        if np.linalg.norm(others - [x, y], axis=1).min() > 15:  # nothing is drawn over it
            assert (drawn[round(y), round(x)] == color).all()
            looked += 1
    assert looked > 8


def test_between_pixels():
    """A disc's centre of mass is where the keypoint is, to a tenth of a pixel."""
    for x, y in ((50.0, 60.0), (50.5, 60.25), (50.8, 60.6)):
        drawn = draw_keypoints(plain(0), np.full((1, 2, 2), (x, y)), np.array([[1, 0]]), STICK)
        ink = drawn.astype(float).sum(axis=2)
        rows, columns = np.indices(ink.shape)
        assert (ink * columns).sum() / ink.sum() == pytest.approx(x, abs=0.1)
        assert (ink * rows).sum() / ink.sum() == pytest.approx(y, abs=0.1)


def test_nothing_is_drawn_away_from_limbs_and_points():
    points = POINTS[0]
    drawn = draw_keypoints(plain(255), POINTS, np.ones((1, 17)), SKELETON)
    pairs = [*SKELETON.edge_indices, *((k, k) for k in range(17))]
    near = np.min([distance_to_segment((200, 200), points[a], points[b]) for a, b in pairs], axis=0)
    width = 1.2 + np.ptp(points, axis=0).max() / 90  # 2.7 px
    disc, rim = 1.4 + 1.8 * width, 0.7 + 0.1 * width
    touched = (drawn != 255).any(axis=2)
    assert near[touched].max() < disc / 2 + rim + 1.25  # half a pixel's diagonal, and its softening
    assert touched[near < width / 2].all()


@pytest.mark.parametrize(("size", "expected"), [(100, 2.3), (200, 3.4), (600, 7.9), (2700, 31.2)])
@pytest.mark.parametrize("slope", [0.0, 0.4, 1.0])
def test_width_follows_the_person(size, expected, slope):
    """Measured across the limb's middle, by what is coloured and not rim."""
    ends = np.array([[50.3, 60.7], [50.3 + size, 60.7 + slope * size]])
    image = plain(0, int(ends[1, 1]) + 60, size + 100)
    drawn = draw_keypoints(image, ends[None], np.ones((1, 2)), ARM).astype(float)
    column = drawn[:, round(50.3 + size / 2), 1] - 20  # MIDDLE has most green; the rim is 20
    measured = np.clip(column / (MIDDLE[1] - 20), 0, 1).sum() / np.hypot(1, slope)
    assert measured == pytest.approx(expected, abs=0.35)


def test_a_box_sets_the_width():
    """So that a person of whom little is seen gets the strokes of his size."""
    ends, ground = np.array([[[100.0, 100.0], [130.0, 100.0]]]), plain(0, 400, 400)
    thin = draw_keypoints(ground, ends, np.ones((1, 2)), ARM)
    box = np.array([[20.0, 20.0, 300.0, 350.0]])
    thick = draw_keypoints(ground, ends, np.ones((1, 2)), ARM, boxes=box)
    green = [(drawn[90:110, 115, 1] > 200).sum() for drawn in (thin, thick)]
    assert green[1] >= green[0] + 3


@pytest.mark.parametrize("ground", GROUNDS, ids=str)
@pytest.mark.parametrize(("score", "least"), [(1.0, 3.5), (0.201, 1.7)])
def test_each_limb_stands_out(ground, score, least):
    """Somewhere across it, by the rim or by its colour; a faint one too."""
    points = np.array([[[40.0, 60.0], [150.0, 130.0]]])
    drawn = draw_keypoints(plain(ground), points, np.full((1, 2), score), ARM)
    for share in (0.3, 0.5, 0.7):
        x, y = points[0, 0] + share * (points[0, 1] - points[0, 0])
        across = drawn[round(y) - 8 : round(y) + 9, round(x)]
        assert contrast(across, ground).max() > least


def test_low_scores_fade_and_vanish():
    ink = []
    for score in (0.1, 0.2, 0.21, 0.3, 0.39, 0.41, 0.9):
        drawn = draw_keypoints(plain(255), POINTS, np.full((1, 17), score), SKELETON)
        ink.append(int((255 - drawn).sum(dtype=np.int64)))
    assert ink[0] == ink[1] == 0
    assert 0 < ink[2] < ink[3] < ink[4] < ink[5] == ink[6]


def test_faint_strokes_do_not_add_up():
    """However many cross, nothing is darker than half the rim over white."""
    crossing = 100 + np.random.default_rng(1).uniform(-30, 30, (1, 17, 2))
    drawn = draw_keypoints(plain(255), crossing, np.full((1, 17), 0.2001), SKELETON)
    assert 136 <= drawn[..., 1].min() <= 142  # 255 + 0.5 (20 - 255) = 137.5


def test_the_order_of_limbs_and_of_persons_makes_no_difference():
    rng = np.random.default_rng(2)
    points = rng.uniform(20, 180, (3, 17, 2)) * [[[1.0]], [[0.6]], [[0.3]]]
    scores = rng.uniform(0.1, 0.6, (3, 17))
    drawn = draw_keypoints(plain(90), points, scores, SKELETON)
    other = replace(SKELETON, edges=tuple((b, a) for a, b in SKELETON.edges[::-1]))
    turned = draw_keypoints(plain(90), points, scores, other)
    assert np.abs(turned.astype(int) - drawn).max() <= 3  # rounding where limbs end in each other
    shuffled = draw_keypoints(plain(90), points[[2, 0, 1]], scores[[2, 0, 1]], SKELETON)
    np.testing.assert_array_equal(drawn, shuffled)


def test_the_small_person_is_on_top():
    large, small = [[20.0, 100.0], [180.0, 100.0]], [[80.0, 100.0], [120.0, 100.0]]
    skeleton = replace(STICK, edges=(("left_a", "right_a"),))
    for order in ([large, small], [small, large]):
        drawn = draw_keypoints(plain(0), np.array(order), np.ones((2, 2)), skeleton)
        assert (drawn[100, 80] == LEFT).all()


@pytest.mark.parametrize(("scores", "color"), [([1, 1, 0.3, 0.3], LEFT), ([0.3, 0.3, 1, 1], RIGHT)])
def test_the_surer_limb_is_on_top(scores, color):
    names = ("left_a", "left_b", "right_a", "right_b")
    pairs = (("left_a", "right_a"), ("left_b", "right_b"))
    both = Skeleton("cross", names, pairs, (names[:2], names[2:]), (1.0,) * 4)
    cross = np.array([[[100.0, 40.0], [100.0, 160.0], [40.0, 100.0], [160.0, 100.0]]])
    drawn = draw_keypoints(plain(255), cross, np.array([scores]), both)
    assert (drawn[100, 100] == color).all()


def test_points_far_outside_and_nan_are_left_out():
    image = plain(255)
    wild, scores = POINTS.copy(), np.ones((1, 17))
    wild[0, :3], scores[0, :3] = [[np.nan, 5], [5, np.inf], [1e12, 5]], 0
    without = draw_keypoints(image, POINTS, scores, SKELETON)
    np.testing.assert_array_equal(draw_keypoints(image, wild, np.ones((1, 17)), SKELETON), without)
    scores[0, :3] = np.nan
    np.testing.assert_array_equal(draw_keypoints(image, POINTS, scores, SKELETON), without)
    assert (draw_keypoints(image, np.zeros((0, 17, 2)), np.zeros((0, 17)), SKELETON) == 255).all()


def test_a_limb_that_leaves_the_image_is_drawn_as_far_as_it_is_inside():
    ends = np.array([[[100.0, 100.0], [1e5, 100.0]]])
    drawn = draw_keypoints(plain(0), ends, np.ones((1, 2)), ARM)
    assert np.abs(drawn[100, 101:].astype(int) - MIDDLE).max() < 20
    assert not drawn[:, :80].any()
    assert not draw_keypoints(plain(0), ends + [0, 1000], np.ones((1, 2)), ARM).any()


def test_boxes_and_captions():
    points = np.array([[[60.0, 60.0], [60.0, 100.0]], [[140.0, 60.0], [140.0, 100.0]]])
    boxes = np.array([[40.0, 40.0, 40.0, 80.0], [120.0, 2.0, 75.0, 150.0]])
    both = {"boxes": boxes, "captions": ["7", "0.93"]}
    drawn = draw_keypoints(plain(128), points, np.ones((2, 2)), ARM, ids=[7, 8], **both)
    for (x, y, w, h), number in zip(boxes.astype(int), (7, 8), strict=True):
        for row, column in ((y + h // 2, x), (y + h // 2, x + w), (y + h, x + w // 2)):
            assert (drawn[row, column] == person_color(number)).all()
        assert (drawn[y + h // 2, [x - 1, x + 1]] == 20).all()  # the rim on both sides
    above = drawn[24:38, 42:48].reshape(-1, 3)  # the inside of the first's plate, with its number
    assert contrast(above, person_color(7)).max() > 5
    assert (above == person_color(7)).all(axis=1).mean() > 0.3
    assert (drawn[3:15, 121:160] == person_color(8)).all(axis=2).sum() > 100  # no room above
    unnamed = draw_keypoints(plain(128), points, np.ones((2, 2)), ARM, boxes=boxes)
    assert (unnamed[80, 40] == 255).all()
    alone = draw_keypoints(plain(128), points, np.ones((2, 2)), ARM, captions=["a", ""])
    assert (alone[:55, 55:80] == 255).any()
    assert (alone[:50, 100:] == 128).all()


def test_a_box_without_keypoints_and_keypoints_without_a_box():
    box = np.array([[40.0, 40.0, 40.0, 80.0]])
    drawn = draw_keypoints(plain(0), np.zeros((1, 17, 2)), np.zeros((1, 17)), SKELETON, boxes=box)
    assert (drawn[60, 40] == 255).all()
    unknown = np.full((1, 4), np.nan)
    person = draw_keypoints(
        plain(0), POINTS, np.ones((1, 17)), SKELETON, boxes=unknown, captions=["a"]
    )
    assert (person == LEFT).all(axis=2).sum() > 50  # an unknown box hides no person


def test_persons_colours_differ_and_carry_text():
    colors = np.array([person_color(number) for number in range(8)], float)
    for one, other in itertools.combinations(colors, 2):
        assert np.abs(one - other).max() > 35
    for one, following in itertools.pairwise(colors):
        assert np.abs(one - following).max() > 60
    for color in (*(person_color(n) for n in range(50)), (0, 0, 0), (255, 255, 255), (120,) * 3):
        assert contrast(ink_on(color), color) > 4.5


@pytest.mark.parametrize("words", [SKELETON.keypoints, [str(k) for k in range(17)]])
def test_labels_leave_the_points_visible(words):
    ground, points = plain(0, 600, 600), POINTS * 3
    bare = draw_keypoints(ground, points, np.ones((1, 17)), SKELETON)
    drawn = draw_keypoints(ground, points, np.ones((1, 17)), SKELETON, labels=words)
    for x, y in points[0].round().astype(int):
        around = np.s_[y - 4 : y + 5, x - 4 : x + 5]
        np.testing.assert_array_equal(drawn[around], bare[around])
    assert (drawn != bare).any(axis=2).sum() > 17 * 20
    one = (np.arange(17) == 5)[None].astype(float)
    alone = draw_keypoints(ground, points, one, SKELETON, labels=words)
    assert 100 < (alone != 0).any(axis=2).sum() < 3000  # of the one that is shown, no other


def test_labels_are_near_apart_and_inside():
    """Held against all rectangles by slow comparisons."""
    points = np.random.default_rng(3).uniform(5, 395, (40, 2))
    names = (SKELETON.keypoints * 3)[:40]
    extents = np.array([text_size(name, 9) for name in names])
    corners = place_words(points, extents, (400, 400), np.full(40, 5.0), points - 200)

    def apart(x, y, wide, high, left, top, right, bottom):
        return left >= x + wide or x >= right or top >= y + high or y >= bottom

    for n, (x, y) in enumerate(corners):
        high, wide = extents[n]
        assert min(x, y, 400 - x - wide, 400 - y - high) >= 0
        assert np.abs([x + wide / 2, y + high / 2] - points[n]).max() < 70
        for point in points:
            nearest = np.clip(point, (x, y), (x + wide, y + high))
            assert np.linalg.norm(nearest - point) >= 5
        for m, (u, v) in enumerate(corners[:n]):
            assert apart(x, y, wide, high, u, v, u + extents[m, 1], v + extents[m, 0])


def gaussian(x, y, height=16, width=12, peak=1.0):
    rows, columns = np.indices((height, width))
    return peak * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 4.5)


@pytest.mark.parametrize("ground", [0, 100, 255])
def test_overlay_is_where_the_heatmap_is(ground):
    """Heatmap pixel (x, y) is crop pixel (4 x, 4 y): by centre of mass, to a quarter pixel."""
    crop, maps = plain(ground, 64, 48), np.zeros((17, 16, 12))
    without = heatmap_overlay(crop, maps).astype(float)
    maps[4] = gaussian(5, 9)
    change = np.abs(heatmap_overlay(crop, maps) - without).sum(axis=2)
    rows, columns = np.indices(change.shape)
    assert (change * columns).sum() / change.sum() == pytest.approx(20, abs=0.25)
    assert (change * rows).sum() / change.sum() == pytest.approx(36, abs=0.25)
    assert np.ptp(without) == 0


@pytest.mark.parametrize("ground", [0, 255])
def test_heat_is_seen_on_light_and_dark(ground):
    """A weak peak differs from none, and a strong one from a weak one."""
    crop = plain(ground, 64, 48)
    seen = [heatmap_overlay(crop, gaussian(5, 9, peak=p)[None])[36, 20] for p in (0, 0.3, 0.6, 1)]
    for one, other in itertools.pairwise(seen):
        assert np.abs(one.astype(int) - other).max() > 40
    assert contrast(seen[-1], seen[0]) > 1.8
    plain_grey = heatmap_overlay(crop, np.zeros((1, 16, 12)))
    assert plain_grey.max() == plain_grey.min() == {0: 20, 255: 160}[ground]  # dim, and seen


def test_heatmap_sheet_has_all_and_each():
    places = [(2 + k % 4 * 3, 2 + k // 4 * 3) for k in range(17)]
    maps = np.stack([gaussian(x, y) for x, y in places])
    sheet = heatmap_sheet(plain(60, 64, 48), maps, SKELETON)
    height, width = 64 * 4 + 24, 48 * 4 + 6
    assert sheet.shape == (3 * height + 6, 6 * width + 6, 3)
    for cell, (x, y) in enumerate(places, start=1):
        top, left = 6 + cell // 6 * height, 6 + cell % 6 * width
        part = sheet[top : top + 256, left : left + 192].astype(int)
        heat = np.abs(part - (240, 249, 33)).sum(axis=2)  # the scale's bright end
        row, column = np.unravel_index(heat.argmin(), heat.shape)
        assert abs(column - 16 * x) < 10
        assert abs(row - 16 * y) < 10
        title = sheet[top + 257 : top + 274, left : left + 192]
        assert (title < 130).all(axis=2).sum() > 20
    with pytest.raises(ValueError, match="shorter|longer"):
        heatmap_sheet(plain(60, 64, 48), maps[:5], SKELETON)


def test_sheet_has_every_picture_in_its_cell():
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 200, 0), (0, 200, 200)]
    images = [np.full((30 + 20 * i, 80, 3), color, np.uint8) for i, color in enumerate(colors)]
    sheet = picture_sheet(images, [f"picture {i}" for i in range(5)], columns=2, cell_size=(60, 60))
    for i, color in enumerate(colors):
        top, left = 6 + (i // 2) * (60 + 18 + 6), 6 + (i % 2) * 66
        assert (sheet[top + 30, left + 30] == color).all()
    ground = sheet[0, 0]
    assert ground.min() == ground.max()
    assert (sheet[-20, -20] == ground).all()
    with pytest.raises(ValueError, match="at least one image"):
        picture_sheet([])


def test_titles_stay_in_their_cell():
    sheet = picture_sheet([plain(0, 60, 60)] * 2, ["m" * 99, ""], columns=2, cell_size=(60, 60))
    foot = (sheet[67:84] < 150).all(axis=2)
    assert foot[:, 6:66].sum() > 40
    assert not foot[:, 66:].any()


def test_pixels_of_a_small_picture_stay_squares():
    small = np.random.default_rng(4).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    large, factor = fit_picture(small, (60, 80))
    assert factor == 10
    np.testing.assert_array_equal(large, np.kron(small, np.ones((10, 10, 1), np.uint8)))


@pytest.mark.parametrize("factor", [0.4, 1.0, 1.7, 5.5])
def test_points_go_with_the_picture(factor):
    """The centre of mass of a spot moves as `fit_points` says."""
    rows, columns = np.indices((60, 80))
    spot = 255 * np.exp(-((columns - 31) ** 2 + (rows - 22) ** 2) / 50)
    image = spot[..., None].repeat(3, 2).astype(np.uint8)
    large, scale = fit_picture(image, (round(60 * factor), round(80 * factor)))
    weight = large[..., 0].astype(float)
    rows, columns = np.indices(weight.shape)
    center = [(weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()]
    np.testing.assert_allclose(center, fit_points(np.array([31, 22]), scale), atol=0.1)


def test_training_pictures():
    crops, maps = np.zeros((3, 64, 48, 3), np.uint8), np.zeros((3, 17, 16, 12))
    points = POINTS.repeat(3, 0) / 4
    sheet = training_sheet(crops, points, np.ones((3, 17)), maps, SKELETON)
    assert sheet.shape == (2 * 198 + 6, 3 * 150 + 6, 3)
    assert np.abs(sheet[6:198].astype(int) - LEFT).sum(axis=2).min() == 0


@pytest.mark.parametrize("codec", ["heatmap", "udp"])
def test_overlay_lies_where_the_codec_has_its_targets(codec):
    made = Codec((256, 192), codec)
    maps, _ = made.encode(torch.tensor([[[172.0, 240.0]]]), torch.ones(1, 1))
    crop = np.zeros((256, 192, 3), np.uint8)
    heat = heatmap_overlay(crop, maps[0].numpy(), udp=made.udp).astype(float).sum(axis=2)
    y, x = np.nonzero(heat > 0.95 * heat.max())
    np.testing.assert_allclose([x.mean(), y.mean()], [172, 240], atol=1)


def test_names_are_of_the_largest_where_there_are_many():
    """One person has all of them; of twenty, a few have, and the image is not covered."""
    rng = np.random.default_rng(0)
    ground = np.full((480, 640, 3), 128, np.uint8)
    one = rng.uniform([20, 20], [90, 200], (1, 17, 2))
    many = np.concatenate([one + [28 * i, 10 * (i % 5)] for i in range(20)])
    many[7] = rng.uniform([300, 30], [420, 450], (17, 2))  # the largest

    def written(persons, labels):
        scores = np.ones((len(persons), 17))
        plain = draw_keypoints(ground, persons, scores, SKELETON)
        return (plain != draw_keypoints(ground, persons, scores, SKELETON, labels=labels)).any(-1)

    alone = written(many[7:8], SKELETON.keypoints)
    assert alone.mean() > 0.02
    crowd = written(many, SKELETON.keypoints)
    assert alone.mean() * 0.7 < crowd.mean() < 0.2
