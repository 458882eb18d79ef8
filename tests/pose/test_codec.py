"""Both conventions as wholes, and that their steps cannot be mixed."""

from typing import get_args

import numpy as np
import pytest
import torch

from keypoint.errors import ConfigError
from keypoint.pose.codec import Codec
from keypoint.pose.geometry import apply_affine
from keypoint.pose.names import DECODING_WORDS, DECODINGS, CodecName, Decoding
from keypoint.pose.skeleton import load_skeleton
from tests.reference import simple_baseline, udp

FLIP = torch.tensor(load_skeleton("coco17").flip_indices)
BOXES = np.array([[10.0, 20, 50, 120], [0, 0, 300, 40], [33.5, 7.25, 60, 80]])
SIZES = [(256, 192), (384, 288), (64, 96)]


@pytest.mark.parametrize("rotation", [0.0, 30.0, -75.5])
@pytest.mark.parametrize("input_size", SIZES)
def test_udp_crops_by_its_papers_matrix(input_size, rotation):
    frame = Codec(input_size, "udp").crop_frame(BOXES)
    ours = frame.matrices(rotation)
    for i in range(3):
        theirs = udp.affine(frame.center[i], frame.crop_size[i], rotation, input_size)
        np.testing.assert_allclose(ours[i], theirs, atol=1e-9)


@pytest.mark.parametrize("input_size", SIZES)
def test_edges_of_the_crop_are_the_middles_of_the_outer_pixels(input_size):
    codec = Codec(input_size, "udp")
    frame = codec.crop_frame(BOXES)
    half = frame.crop_size[:, None, ::-1] / 2
    corners = frame.center[:, None] + half * np.array([[-1, -1], [1, 1], [0, 0]])
    height, width = input_size
    expected = [[0, 0], [width - 1, height - 1], [(width - 1) / 2, (height - 1) / 2]]
    in_crop = apply_affine(frame.matrices(), corners)
    np.testing.assert_allclose(in_crop, np.broadcast_to(expected, (3, 3, 2)), atol=1e-9)
    height, width = codec.heatmap_size
    in_heatmap = np.array([[0, 0], [width - 1, height - 1], [(width - 1) / 2, (height - 1) / 2]])
    back = frame.to_image(np.broadcast_to(in_heatmap, (3, 3, 2)), codec.heatmap_size)
    np.testing.assert_allclose(back, corners, atol=1e-9)


@pytest.mark.parametrize(("input_size", "sigma"), [((256, 192), 2.0), ((384, 288), 3.0)])
def test_udp_targets_equal_pixels_drawn_one_by_one(input_size, sigma):
    codec = Codec(input_size, "udp")
    assert codec.sigma == sigma
    rng = np.random.default_rng(0)
    height, width = input_size
    keypoints = rng.uniform([-60, -60], [width + 60, height + 60], (3, 17, 2))
    keypoints[0, :2] = [[0, 0], [width - 1, height - 1]]
    labelled = rng.random((3, 17)) > 0.2
    maps, weights = codec.encode(torch.tensor(keypoints), torch.tensor(labelled))
    for b in range(3):
        expected_maps, expected_weights = udp.targets(
            keypoints[b], labelled[b], input_size, codec.heatmap_size, sigma
        )
        np.testing.assert_allclose(maps[b].numpy(), expected_maps, atol=1e-5)
        np.testing.assert_array_equal(weights[b].numpy(), expected_weights)
    assert 0 < weights.sum() < weights.numel()


def round_trip(codec, points_image, frame, mirror=False):
    """Image to targets and back; with `mirror` the targets are those of the mirrored crop."""
    points = torch.from_numpy(apply_affine(frame.matrices(), points_image))
    if mirror:  # the pixels of the crop change places: x' = W_in - 1 - x
        points = points[:, FLIP]
        points[..., 0] = codec.input_size[1] - 1 - points[..., 0]
    maps, weights = codec.encode(points, torch.ones(points.shape[:2]))
    assert weights.all()
    if mirror:
        maps = codec.average_flipped(torch.zeros_like(maps), maps, FLIP)
    found, _ = codec.decode(maps)
    return frame.to_image(found.double().numpy(), codec.heatmap_size)


def points_of(frame, number):
    """Random points well inside each crop, (P, number, 2) in the image's frame."""
    offset = np.random.default_rng(1).uniform(-0.35, 0.35, (len(frame), number, 2))
    return frame.center[:, None] + offset * frame.crop_size[:, None, ::-1]


@pytest.mark.parametrize("mirror", [False, True])
def test_udp_has_no_systematic_error(mirror):
    """The claim of its paper: the way there and back loses nothing, mirrored or not."""
    codec = Codec((256, 192), "udp")
    frame = codec.crop_frame(BOXES)
    points = points_of(frame, 17)
    back = round_trip(codec, points, frame, mirror)
    heatmap_pixel = frame.crop_size[:, 1] / 48
    assert (np.abs(back - points).max((1, 2)) < 0.02 * heatmap_pixel).all()


def test_a_step_of_the_other_codec_leaves_a_bias():
    """A codec combines the steps because one step of the other convention moves all keypoints."""
    codec = Codec((256, 192))
    points = points_of(codec.crop_frame(BOXES), 200)
    heatmap_pixel = codec.crop_frame(BOXES).crop_size[:, 1] / 48

    def bias(matrix_of, coder, back_of):
        crop = torch.from_numpy(apply_affine(matrix_of.crop_frame(BOXES).matrices(), points))
        found, _ = coder.decode(coder.encode(crop, torch.ones(crop.shape[:2]))[0], "dark")
        back = back_of.crop_frame(BOXES).to_image(found.double().numpy(), codec.heatmap_size)
        return np.abs((back - points).mean(1)[:, 0] / heatmap_pixel).max()

    both = Codec((256, 192), "udp")
    assert bias(both, both, both) < 0.005
    assert bias(both, both, codec) > 0.1
    assert bias(codec, both, both) > 0.1


def test_shift_belongs_to_the_codec():
    assert Codec((64, 64)).flip_shift
    assert not Codec((64, 64), "udp").flip_shift
    maps = torch.rand(1, 17, 16, 16)
    expected, none = maps.flip(-1)[:, FLIP] / 2, torch.zeros_like(maps)
    assert torch.equal(Codec((64, 64), "udp").average_flipped(none, maps, FLIP), expected)
    shifted = Codec((64, 64)).average_flipped(none, maps, FLIP)
    assert torch.equal(shifted[..., 1:], expected[..., :-1])


def test_names_are_those_of_the_config_and_the_reports():
    assert get_args(CodecName) == tuple(DECODINGS)
    decodings = {name for names in DECODINGS.values() for name in names}
    assert {*get_args(Decoding), None} == decodings | {"codec"}
    assert DECODING_WORDS.keys() == decodings


def test_decodings_of_each_codec():
    maps = torch.rand(2, 3, 16, 12)
    highest = maps.flatten(2).argmax(2)
    plain = torch.stack([highest % 12, highest // 12], 2).float()
    for name, decodings in DECODINGS.items():
        codec = Codec((64, 48), name)
        assert torch.equal(codec.decode(maps)[0], codec.decode(maps, decodings[0])[0])
        assert torch.equal(codec.decode(maps, None)[0], plain)
    quarter, _ = Codec((64, 48)).decode(maps, "quarter")
    expected = [[simple_baseline.decode(m.numpy())[0] for m in person] for person in maps]
    np.testing.assert_allclose(quarter.numpy(), expected)


def test_steps_of_the_other_convention_are_refused():
    with pytest.raises(
        ConfigError, match="'quarter' does not belong to the codec 'udp'.*one of dark, none"
    ):
        Codec((64, 64), "udp").decode(torch.zeros(1, 1, 16, 16), "quarter")
    with pytest.raises(ConfigError, match="codec='UDP' is unknown; choose one of"):
        Codec((64, 64), "UDP")
