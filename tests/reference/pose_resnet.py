"""Weights files of other toolkits, made from their documented names, and their network, slowly.

Written from SimpleBaseline's lib/models/pose_resnet.py and mmpose's ResNet, HeatmapHead and
TopdownHeatmapSimpleHead as documented; nothing of the package is used.
"""

import numpy as np
import torch
import torch.nn.functional as F

BLOCKS_PER_LAYER = {
    18: [2, 2, 2, 2],
    34: [3, 4, 6, 3],
    50: [3, 4, 6, 3],
    101: [3, 4, 23, 3],
    152: [3, 8, 36, 3],
}


def _conv(state, name, out_channels, in_channels, kernel, rng):
    spread = (2 / (in_channels * kernel * kernel)) ** 0.5
    values = rng.standard_normal((out_channels, in_channels, kernel, kernel), dtype=np.float32)
    state[f"{name}.weight"] = torch.from_numpy(values * np.float32(spread))


def _norm(state, name, channels, rng):
    for key, low, high in (("weight", 0.5, 1), ("bias", -0.2, 0.2), ("running_mean", -0.2, 0.2)):
        state[f"{name}.{key}"] = torch.from_numpy(rng.uniform(low, high, channels)).float()
    state[f"{name}.running_var"] = torch.from_numpy(rng.uniform(0.7, 1.3, channels)).float()
    state[f"{name}.num_batches_tracked"] = torch.tensor(1000)


def resnet(depth, rng, classes=None):
    """conv1, bn1, layer1.0.conv1 .. layer4, and `fc` with classes: as in torchvision and timm."""
    state = {}
    _conv(state, "conv1", 64, 3, 7, rng)
    _norm(state, "bn1", 64, rng)
    channels = 64
    for layer in (1, 2, 3, 4):
        width = 32 * 2**layer
        out_channels = width if depth < 50 else 4 * width
        for block in range(BLOCKS_PER_LAYER[depth][layer - 1]):
            name = f"layer{layer}.{block}"
            if depth < 50:
                _conv(state, f"{name}.conv1", width, channels, 3, rng)
                _norm(state, f"{name}.bn1", width, rng)
                _conv(state, f"{name}.conv2", width, width, 3, rng)
                _norm(state, f"{name}.bn2", width, rng)
            else:
                _conv(state, f"{name}.conv1", width, channels, 1, rng)
                _norm(state, f"{name}.bn1", width, rng)
                _conv(state, f"{name}.conv2", width, width, 3, rng)
                _norm(state, f"{name}.bn2", width, rng)
                _conv(state, f"{name}.conv3", out_channels, width, 1, rng)
                _norm(state, f"{name}.bn3", out_channels, rng)
            if block == 0 and (layer > 1 or depth >= 50):
                _conv(state, f"{name}.downsample.0", out_channels, channels, 1, rng)
                _norm(state, f"{name}.downsample.1", out_channels, rng)
            channels = out_channels
    if classes:
        state["fc.weight"] = torch.zeros(classes, channels)
        state["fc.bias"] = torch.zeros(classes)
    return state


def simple_baseline(depth=18, num_keypoints=17, seed=0):
    """A bare file of SimpleBaseline: encoder, deconv_layers.{0,3,6}, their norms, final_layer."""
    rng = np.random.default_rng(seed)
    state = resnet(depth, rng)
    in_channels = 512 if depth < 50 else 2048
    for number in (0, 3, 6):
        _conv(state, f"deconv_layers.{number}", in_channels, 256, 4, rng)  # in, out: transposed
        _norm(state, f"deconv_layers.{number + 1}", 256, rng)
        in_channels = 256
    _conv(state, "final_layer", num_keypoints, 256, 1, rng)
    state["final_layer.bias"] = torch.from_numpy(rng.uniform(-1, 1, num_keypoints)).float()
    return state


def mmpose(state, head):
    """The same network as mmpose names it; the head is "keypoint_head" (0.x) or "head" (1.x)."""
    renamed = {}
    for name, tensor in state.items():
        place = head if name.split(".")[0] in ("deconv_layers", "final_layer") else "backbone"
        renamed[f"{place}.{name}"] = tensor
    return renamed


def simple_baseline_input(image_bgr, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)):
    """What SimpleBaseline does to a crop as cv2 reads it: to [0, 1], then channel by channel."""
    height, width, _ = image_bgr.shape
    images = np.zeros((1, 3, height, width))
    for channel in range(3):
        plane = image_bgr[:, :, channel].astype(np.float64) / 255
        images[0, channel] = (plane - mean[channel]) / std[channel]
    return torch.from_numpy(images)


def heatmaps(state, images):
    """The network's forward pass, layer by layer, float64."""
    state = {name: tensor.double() for name, tensor in state.items()}

    def norm(name, x):
        keys = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(state[f"{name}.{key}"] for key in keys), eps=1e-5)

    def conv(name, x, stride=1, padding=0):
        return F.conv2d(x, state[f"{name}.weight"], stride=stride, padding=padding)

    x = F.relu(norm("bn1", conv("conv1", images, stride=2, padding=3)))
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    for layer in (1, 2, 3, 4):
        block = 0
        while f"layer{layer}.{block}.conv1.weight" in state:
            name = f"layer{layer}.{block}"
            stride = 2 if layer > 1 and block == 0 else 1
            identity = x
            if f"{name}.conv3.weight" in state:
                y = F.relu(norm(f"{name}.bn1", conv(f"{name}.conv1", x)))
                y = F.relu(norm(f"{name}.bn2", conv(f"{name}.conv2", y, stride, padding=1)))
                y = norm(f"{name}.bn3", conv(f"{name}.conv3", y))
            else:
                y = F.relu(norm(f"{name}.bn1", conv(f"{name}.conv1", x, stride, padding=1)))
                y = norm(f"{name}.bn2", conv(f"{name}.conv2", y, padding=1))
            if f"{name}.downsample.0.weight" in state:
                identity = norm(f"{name}.downsample.1", conv(f"{name}.downsample.0", x, stride))
            x = F.relu(y + identity)
            block += 1
    for number in (0, 3, 6):
        x = F.conv_transpose2d(x, state[f"deconv_layers.{number}.weight"], stride=2, padding=1)
        x = F.relu(norm(f"deconv_layers.{number + 1}", x))
    return F.conv2d(x, state["final_layer.weight"], state["final_layer.bias"])
