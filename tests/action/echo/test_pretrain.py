"""The 2-D network that all trainings of the generated set start from."""

import numpy as np
import pytest
import torch
import torchvision

from keypoint.action import create_model
from keypoint.action.echo.pretrain import draw_pictures, frame_network, normalize, train_on_frames
from keypoint.action.networks.tiny import WIDTH
from keypoint.errors import ConfigError


def test_the_network_is_torchvisions_resnet18_with_an_eighth_of_the_channels():
    ours = {name: tuple(t.shape) for name, t in frame_network().state_dict().items()}
    reference = torchvision.models.resnet18(num_classes=9).state_dict()
    eighth = {
        name: tuple(
            side if name == "conv1.weight" and axis == 1 else side // (64 // WIDTH)
            for axis, side in enumerate(t.shape[:2])
        )
        + tuple(t.shape[2:])
        for name, t in reference.items()
    }
    head = {"fc.weight": (9, 8 * WIDTH), "fc.bias": (9,)}
    assert ours == eighth | head


def test_its_forward_is_torchvisions():
    """In a ResNet of torchvision whose stages are ours."""
    torch.manual_seed(0)
    network = frame_network().eval()
    reference = torchvision.models.resnet18(num_classes=9).eval()
    for name, stage in network.named_children():
        setattr(reference, name, stage)
    reference.fc = network.fc
    x = torch.randn(2, 3, 48, 40)
    torch.testing.assert_close(network(x), reference(x))


def test_pictures_of_all_poses_take_turns():
    pictures, poses = draw_pictures(0, 20)
    assert pictures.shape == (20, 48, 48, 3)
    assert poses.tolist() == [*range(9), *range(9), 0, 1]
    assert (draw_pictures(0, 3)[0] == pictures[:3]).all()


def test_it_is_normalised_as_the_network_for_clips_is():
    pictures, _ = draw_pictures(0, 2)
    model = create_model("c2d_tiny", 4, 2, input_size=(48, 48))
    expected = model.normalize(pictures[:, None])[:, :, 0]
    torch.testing.assert_close(normalize(pictures), expected)


def test_training_is_repeatable_and_learns_and_starts_a_network_for_clips(tmp_path):
    before = torch.random.get_rng_state()
    counted = []
    network, loss = train_on_frames(pictures=90, steps=12, progress=counted.append)
    again, same = train_on_frames(pictures=90, steps=12)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len(counted) == 12
    assert loss == same < np.log(9)
    assert all(
        torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True)
    )

    torch.save(network.state_dict(), tmp_path / "frames.pth")
    model = create_model(
        "c2d_tiny", 4, 8, input_size=(48, 48), blocks="srl_fft", weights=tmp_path / "frames.pth"
    )
    state = {name.replace(".site.", "."): value for name, value in model.state_dict().items()}
    for name, value in network.state_dict().items():
        if not name.startswith("fc."):
            assert torch.equal(state[name], value), name


def test_stem_and_res2_stay_as_they_are():
    torch.manual_seed(0)
    model = create_model("c2d_tiny", 4, 4, input_size=(32, 32), blocks="nl")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):  # gates are closed at the first step
        model(torch.randn(4, 3, 4, 32, 32)).square().sum().backward()
        optimizer.step()
    kept = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    frozen = {name for name in before if name.startswith(("conv1", "bn1", "layer1"))}
    assert frozen <= kept
    assert "layer2.0.site.conv1.weight" not in kept
    assert "layer2.0.site.bn1.running_mean" not in kept


def test_there_are_no_imagenet_weights():
    with pytest.raises(ConfigError, match="for c2d_tiny give None or a file"):
        create_model("c2d_tiny", 4, 8, weights="imagenet")
