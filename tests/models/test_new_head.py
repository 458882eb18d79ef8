"""Weights of other keypoints: everything but the head is loaded, by a named flag."""

import pytest
import torch

from keypoint.errors import CheckpointError, ConfigError
from keypoint.models import create_model
from keypoint.models.own_network import OwnNetwork
from keypoint.models.weights.load import load_weights_file
from tests.reference import pose_resnet

SIZE = (64, 96)


@pytest.fixture(scope="module")
def of_coco(tmp_path_factory):
    """A file of 17 keypoints, by mmpose's names."""
    path = tmp_path_factory.mktemp("weights") / "mmpose.pth"
    state = pose_resnet.mmpose(pose_resnet.simple_baseline(18, seed=3), "head")
    torch.save({"state_dict": state}, path)
    return path


def test_all_but_the_head_is_loaded_and_the_head_is_listed(of_coco):
    model = create_model("resnet18", input_size=SIZE, num_keypoints=4)
    before = model.final_layer.weight.clone()
    report = load_weights_file(model, of_coco, new_head=True)
    theirs = pose_resnet.simple_baseline(18, seed=3)
    for name, tensor in model.state_dict().items():
        if not name.startswith("final_layer."):
            assert torch.equal(tensor, theirs[name].to(tensor.dtype)), name
    assert torch.equal(model.final_layer.weight, before)
    assert report.new_head == ["final_layer.weight", "final_layer.bias"]
    text = report.text()
    assert "2 of a new head: final_layer.weight, final_layer.bias" in text
    assert "2 not used: final_layer.weight, final_layer.bias" in text
    assert report.to_dict()["counts"]["missing_allowed"] == 2


def test_it_is_refused_without_the_flag_and_the_flag_is_named(of_coco):
    words = "has 17 keypoints, the skeleton 4: .*model.new_head=true"
    with pytest.raises(CheckpointError, match=words):
        create_model("resnet18", input_size=SIZE, num_keypoints=4, weights=of_coco)


def test_nothing_else_may_be_missing_with_it(of_coco, tmp_path):
    with pytest.raises(
        CheckpointError, match=r"missing: blocks.deconv1.*model.partial_weights=true or"
    ):
        create_model(
            "resnet18", input_size=SIZE, num_keypoints=4, weights=of_coco, new_head=True,
            blocks={"deconv1": "nl"},
        )  # fmt: skip
    both = create_model(
        "resnet18", input_size=SIZE, num_keypoints=4, weights=of_coco, new_head=True,
        blocks={"deconv1": "nl"}, partial_weights=True,
    )  # fmt: skip
    assert both.final_layer.out_channels == 4
    with pytest.raises(CheckpointError, match="a partial load has no effect"):
        create_model(
            "resnet18", input_size=SIZE, num_keypoints=4, weights=of_coco, new_head=True,
            partial_weights=True,
        )  # fmt: skip
    lacking = pose_resnet.simple_baseline(18)
    del lacking["deconv_layers.0.weight"]
    torch.save(lacking, tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match="1 missing: deconv_layers.0.weight"):
        create_model(
            "resnet18", input_size=SIZE, num_keypoints=4, weights=tmp_path / "w.pth", new_head=True
        )


def test_the_same_keypoints_may_start_anew_too(of_coco):
    torch.manual_seed(0)
    fresh = create_model("resnet18", input_size=SIZE).final_layer.weight
    torch.manual_seed(0)
    model = create_model("resnet18", input_size=SIZE, weights=of_coco, new_head=True)
    assert torch.equal(model.final_layer.weight, fresh)


def test_it_has_no_effect_without_a_head(tmp_path):
    encoder = {
        name: tensor
        for name, tensor in pose_resnet.simple_baseline(18).items()
        if not name.startswith(("deconv_layers.", "final_layer."))
    }
    torch.save(encoder, tmp_path / "encoder.pth")
    with pytest.raises(CheckpointError, match="a new head has no effect, as the file has no head"):
        create_model("resnet18", input_size=SIZE, weights=tmp_path / "encoder.pth", new_head=True)
    for weights in (None, "imagenet"):
        with pytest.raises(ConfigError, match="new_head has no effect with weights="):
            create_model("resnet18", input_size=SIZE, weights=weights, new_head=True)


def users_network(num_keypoints):
    body = torch.nn.Conv2d(3, 4, 3, 4, 1)
    return OwnNetwork(
        torch.nn.Sequential(body, torch.nn.Conv2d(4, num_keypoints, 1)),
        "here", input_size=SIZE, num_keypoints=num_keypoints,
    )  # fmt: skip


def test_the_head_of_a_users_network_is_what_has_other_outputs(tmp_path):
    theirs = users_network(17)
    torch.save(theirs.network.state_dict(), tmp_path / "w.pth")
    model = users_network(5)
    report = load_weights_file(model, tmp_path / "w.pth", new_head=True)
    assert report.new_head == ["network.1.weight", "network.1.bias"]
    assert torch.equal(model.network[0].weight, theirs.network[0].weight)
    with pytest.raises(CheckpointError, match="a new head has no effect"):
        load_weights_file(users_network(17), tmp_path / "w.pth", new_head=True)
