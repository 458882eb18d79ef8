"""C2D against torchvision's ResNet on every frame, with the pooling in time done by hand."""

import pytest
import torch
import torchvision
from torch import nn

from keypoint.action import create_model
from keypoint.errors import ConfigError


def random_norms(net):
    """Statistics and scales as after training, or a missing norm would not be seen."""
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net


def largest_of_two(frames):
    """Every two frames become their largest values; written as a loop."""
    return [torch.where(a > b, a, b) for a, b in zip(frames[0::2], frames[1::2], strict=True)]


def by_hand(resnet, clip, form):
    """(3, T, H, W) -> scores, frame by frame."""
    frames = [clip[:, t][None] for t in range(clip.shape[1])]
    frames = frames[::2] if form == "32x2" else frames
    frames = [resnet.relu(resnet.bn1(resnet.conv1(frame))) for frame in frames]
    frames = [resnet.maxpool(frame) for frame in frames]
    frames = largest_of_two(frames) if form == "32x2" else frames
    frames = largest_of_two([resnet.layer1(frame) for frame in frames])
    frames = [resnet.layer4(resnet.layer3(resnet.layer2(frame))) for frame in frames]
    return resnet.fc(torch.stack([f.mean((2, 3)) for f in frames]).mean(0))[0]


@pytest.mark.parametrize(
    ("encoder", "form", "frames", "size"),
    [
        ("resnet18", "8x8", 4, (45, 70)),
        ("resnet50", "8x8", 2, (32, 48)),
        ("resnet18", "32x2", 16, (33, 48)),
    ],
)
def test_is_torchvisions_resnet_on_every_frame(encoder, form, frames, size):
    torch.manual_seed(0)
    net = create_model(f"c2d_{encoder}", 5, frames, form=form, input_size=size)
    random_norms(net).double().eval()
    resnet = torchvision.models.get_model(encoder, num_classes=5).double().eval()
    resnet.load_state_dict(net.state_dict())  # strictly: the same names
    clips = torch.randn(2, 3, frames, *size, dtype=torch.float64)
    expected = torch.stack([by_hand(resnet, clip, form) for clip in clips])
    torch.testing.assert_close(net(clips), expected, rtol=1e-12, atol=1e-12)


def test_clips_of_any_other_length_without_blocks():
    """The mean over the same frames twice is the same."""
    net = create_model("c2d_resnet18", 5, 2, input_size=(32, 32)).double().eval()
    clips = torch.randn(2, 3, 2, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(net(torch.cat([clips, clips], 2)), net(clips))


def test_normalised_clips_lie_in_memory_as_the_network_runs_them():
    net = create_model("c2d_resnet18", 5, 2, input_size=(32, 40))
    clips = torch.randint(0, 256, (2, 2, 32, 40, 3), dtype=torch.uint8)
    normal = net.normalize(clips)
    assert normal.shape == (2, 3, 2, 32, 40)
    frames = normal.transpose(1, 2).flatten(0, 1)
    assert frames.data_ptr() == normal.data_ptr()
    assert frames.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("form", "frames"), [("8x8", 3), ("32x2", 12), ("8x8", 0)])
def test_frames_that_do_not_divide_are_refused(form, frames):
    multiple = {"8x8": 2, "32x2": 8}[form]
    message = f"frames={frames} must be a positive multiple of {multiple}"
    with pytest.raises(ConfigError, match=message):
        create_model("c2d_resnet18", 5, frames, form=form)
    net = create_model("c2d_resnet18", 5, multiple, form=form, input_size=(32, 32))
    with pytest.raises(ValueError, match=f"must be a multiple of {multiple}"):
        net(torch.zeros(1, 3, multiple + 1, 32, 32))


def test_the_head_starts_small():
    head = create_model("c2d_resnet18", 400).fc
    assert head.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not head.bias.any()


def test_every_parameter_gets_a_gradient_and_dropout_acts_in_training():
    torch.manual_seed(0)
    net = create_model("c2d_resnet18", 3, 4, input_size=(32, 32), blocks="srl_fft")
    for block in net.all_blocks().values():
        nn.init.constant_(block.alpha, 0.5)  # at 0 nothing inside a block gets one
    clips = torch.randn(2, 3, 4, 32, 32)
    net(clips).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
    assert not torch.equal(net(clips), net(clips))
    plain = create_model("c2d_resnet18", 3, 4, input_size=(32, 32), dropout=0.0)
    assert torch.equal(plain(clips), plain(clips))
