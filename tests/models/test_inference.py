import pytest
import torch

from keypoint.models import create_model
from keypoint.models.inference import predict_heatmaps, predict_keypoints
from keypoint.pose.flip_average import average_flipped
from keypoint.pose.skeleton import load_skeleton

FLIP = torch.tensor(load_skeleton("coco17").flip_indices)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = create_model("resnet18", input_size=(64, 64)).eval()
    for layer in (*model.deconv_layers[::3], model.final_layer):
        torch.nn.init.normal_(layer.weight, std=0.05)
    return model


CROPS = torch.randint(
    0, 256, (3, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
)


@torch.no_grad()
def test_flip_average_written_out(model):
    once = predict_heatmaps(model, CROPS)
    torch.testing.assert_close(once, model(model.normalize(CROPS)))
    mirrored_crops = CROPS.flip(2)  # the pictures themselves, mirrored
    expected = average_flipped(once, predict_heatmaps(model, mirrored_crops), FLIP)
    torch.testing.assert_close(predict_heatmaps(model, CROPS, FLIP), expected)
    assert (expected - once).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("flip", [None, FLIP])
@pytest.mark.parametrize("decoding", ["codec", "dark", None])
def test_keypoints_are_decoded_from_the_heatmaps(model, flip, decoding):
    expected = model.codec.decode(predict_heatmaps(model, CROPS, flip), decoding)
    found = predict_keypoints(model, CROPS, flip, decoding=decoding)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


@torch.no_grad()
def test_bf16_is_close_and_comes_back_as_float32(model):
    exact, rough = (predict_heatmaps(model, CROPS, FLIP, dtype) for dtype in (None, torch.bfloat16))
    assert rough.dtype == torch.float32
    assert not torch.equal(exact, rough)
    assert (exact - rough).abs().max() < 0.05 * exact.abs().max()
