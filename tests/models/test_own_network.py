"""A network that lives outside the package, by `package.module:function`."""

import json
import sys

import cv2
import pytest
import torch
from torch import nn

from keypoint.checkpoint.card import read_card
from keypoint.checkpoint.file import load_model
from keypoint.data.synthetic.demo_set import write_demo_set
from keypoint.errors import CheckpointError, ConfigError
from keypoint.models import PoseNetwork, create_model
from keypoint.models.complexity import count_model
from tests.calling import tool

SOURCE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_keypoints, input_size, width=8, stride=4, kind="tensor"):
        super().__init__()
        self.kind = kind
        down = [nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        for _ in range({2: 0, 4: 1, 8: 2}[stride]):
            down += [nn.Conv2d(width, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        self.backbone = nn.Sequential(*down)
        self.neck = nn.Conv2d(width, width, 3, padding=1)
        self.head = nn.Conv2d(width, num_keypoints, 1)

    def forward(self, x):
        y = self.head(self.neck(self.backbone(x)))
        return {"tensor": y, "list": [y], "vector": y.mean((2, 3)), "odd": y[..., 1:]}[self.kind]


def build(num_keypoints, input_size, width=8):
    return Net(num_keypoints, input_size, width)


def broken(num_keypoints, input_size):
    raise RuntimeError("no such file")


def not_a_module(num_keypoints, input_size):
    return 3


def no_size(num_keypoints, **more):
    return Net(num_keypoints, None)


number = 3
"""
NAME = "nets_outside_of_the_package"
SIZE = (64, 48)


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A folder on the path that holds the module, and no trace of it afterwards."""
    (tmp_path / f"{NAME}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop(NAME, None)


def own(function="Net", **more):
    return create_model(network=f"{NAME}:{function}", input_size=SIZE, num_keypoints=5, **more)


@pytest.mark.parametrize(("stride", "sigma"), [(2, 1.0), (4, 0.5), (8, 0.25)])
def test_the_stride_is_that_of_the_output(outside, stride, sigma):
    model = own(options={"stride": stride}).eval()
    assert isinstance(model, PoseNetwork)
    assert model.heatmap_size == (64 // stride, 48 // stride)
    assert model(torch.zeros(2, 3, *SIZE)).shape == (2, 5, *model.heatmap_size)
    assert model.codec.sigma == sigma  # 2 pixels of the crop, 1/24 of its width
    points = torch.tensor([[[0.0, 0.0], [20.0, 31.0], [40.0, 58.0], [13.0, 7.0], [33.0, 50.0]]])
    targets, weights = model.codec.encode(points, torch.ones(1, 5))
    assert weights.all()
    found = model.codec.to_crop(model.codec.decode(targets, None)[0])
    assert (found - points).abs().max() <= stride / 2


@pytest.mark.parametrize("stride", [2, 8])
def test_udps_targets_lie_on_the_keypoints_at_any_stride(outside, stride):
    model = own(options={"stride": stride}, codec="udp", heatmap_sigma=1.0)
    points = torch.tensor([[[20.0, 31.0], [17.0, 40.0], [30.0, 22.0], [23.0, 27.0], [28.0, 37.0]]])
    targets, _ = model.codec.encode(points, torch.ones(1, 5))
    found, _ = model.codec.decode(targets)
    torch.testing.assert_close(model.codec.to_crop(found), points, atol=0.12 * stride, rtol=0)


def test_it_is_built_in_the_mode_of_training_with_untouched_statistics(outside):
    model = own()
    assert model.training
    assert model.network.backbone[1].num_batches_tracked == 0


@pytest.mark.parametrize(
    ("network", "options", "text"),
    [
        ("no_module_here:build", {}, "cannot be imported .*No module named.*PYTHONPATH"),
        (f"{NAME}:nothing", {}, "has no function 'nothing'"),
        (f"{NAME}:number", {}, "has no function 'number'"),
        (f"{NAME}:no_size", {}, "does not take input_size; write it as def no_size"),
        (f"{NAME}:broken", {}, r"fails with num_keypoints=5, .*\(RuntimeError: no such file\)"),
        (f"{NAME}:not_a_module", {}, "returns int; return a torch.nn.Module"),
        (f"{NAME}:build", {"widht": 3}, "has no option 'widht'; it takes width"),
        (f"{NAME}:build", {"input_size": 3}, "has no option 'input_size'"),
        (f"{NAME}:Net", {"kind": "list"}, r"returns list; return heatmaps \(1, 5, H/s, W/s\)"),
        (f"{NAME}:Net", {"kind": "vector"}, r"returns \(1, 5\); return heatmaps"),
        (
            f"{NAME}:Net",
            {"kind": "odd"},
            r"returns \(1, 5, 16, 11\), not the input's size over one",
        ),
        ("os:system", {}, "os is part of Python, not a network"),
        ("subprocess:run", {}, "subprocess is part of Python"),
        ("hrnet", {}, "'hrnet' is unknown; choose one of"),
        ("simple_baseline", {"width": 3}, "options have no effect with network=simple_baseline"),
    ],
)
def test_what_is_no_network_is_refused(outside, network, options, text):
    with pytest.raises(ConfigError, match=text):
        create_model(network=network, options=options, input_size=SIZE, num_keypoints=5)


def test_keys_of_simple_baseline_are_refused(outside):
    for key, value in (("encoder", "resnet18"), ("encoder_stride", 8), ("dilated", True)):
        with pytest.raises(ConfigError, match="have no effect with network="):
            own(**{key: value})


def test_blocks_follow_its_submodules_and_change_nothing(outside):
    torch.manual_seed(0)
    plain = own().eval()
    torch.manual_seed(0)
    model = own(blocks={"neck": "srl_fft", "backbone.2": {"type": "nl", "scale": False}}).eval()
    images = torch.randn(1, 3, *SIZE)
    assert torch.equal(plain(images), model(images))
    assert list(model.all_blocks()) == ["neck", "backbone.2"]
    parts = count_model(
        network=f"{NAME}:Net", input_size=SIZE, num_keypoints=5, blocks={"neck": "srl_fft"}
    )
    assert list(parts) == ["backbone", "neck", "block at neck", "head"]
    total = sum(part.true.parameters for part in parts.values())
    assert total == sum(p.numel() for p in own(blocks={"neck": "srl_fft"}).parameters())
    macs = 8 * 3 * 9 * 32 * 24 + 8 * 8 * 9 * 16 * 12
    assert parts["backbone"].true.multiply_adds == macs
    with pytest.raises(ConfigError, match="has no sites of its own; name the submodules"):
        own(blocks="srl_fft")
    with pytest.raises(ConfigError, match="blocks at nekc: .*no submodule 'network.nekc'"):
        own(blocks={"nekc": "nl"})
    with pytest.raises(ConfigError, match="'backbone' and 'backbone.2', which is inside it"):
        own(blocks={"backbone.2": "nl", "backbone": "nl"})


def test_a_file_of_the_users_own_names_is_loaded(outside, tmp_path):
    torch.manual_seed(1)
    theirs = own().eval()
    torch.save(theirs.network.state_dict(), tmp_path / "theirs.pth")  # names with backbone.
    images = torch.randn(1, 3, *SIZE)
    loaded = own(weights=tmp_path / "theirs.pth").eval()
    assert torch.equal(loaded(images), theirs(images))
    blocks = {"backbone": "srl_fft", "neck": "nl"}
    with pytest.raises(CheckpointError, match="missing: network.backbone.block"):
        own(weights=tmp_path / "theirs.pth", blocks=blocks)
    with_blocks = own(weights=tmp_path / "theirs.pth", blocks=blocks, partial_weights=True).eval()
    assert torch.equal(with_blocks(images), theirs(images))
    torch.save(with_blocks.network.state_dict(), tmp_path / "blocks.pth")
    assert torch.equal(
        own(weights=tmp_path / "blocks.pth", blocks=blocks).eval()(images), theirs(images)
    )
    with pytest.raises(CheckpointError, match="of another shape"):
        own(weights=tmp_path / "theirs.pth", options={"width": 16})


CONFIG = f"""
data: {{root: ROOT, workers: 0}}
model: {{network: "{NAME}:build", options: {{width: 16}}, input_size: [64, 48], blocks: {{neck: srl_fft}}}}
train: {{epochs: 2, batch_size: 8, evaluate_every: 1}}
"""


def test_it_trains_tests_predicts_and_exports_by_the_same_commands(outside, capsys):
    data = outside / "data"
    write_demo_set(data, train_images=12, val_images=3, seed=1)
    for image in data.rglob("*.jpg"):  # of one channel
        cv2.imwrite(str(image), cv2.imread(str(image), cv2.IMREAD_GRAYSCALE))
    grey = next((data / "val2017").glob("*.jpg"))
    (outside / "own.yaml").write_text(CONFIG.replace("ROOT", str(data)))
    output = outside / "run"
    assert tool("train", "--cfg", outside / "own.yaml", f"output={output}") == 0
    assert tool("train", "--cfg", outside / "own.yaml", f"output={output}", "--resume") == 0
    best = output / "best.pt"
    assert tool("test", "--checkpoint", best, f"output={outside / 'tested'}") == 0
    measured = json.loads((outside / "tested" / "metrics.json").read_text())["metrics"]["AP"]
    assert measured == json.loads((output / "metrics.json").read_text())["metrics"]["AP"]
    found = outside / "found"
    assert tool("predict", "--checkpoint", best, "--whole-image", "--output", found, grey) == 0
    assert len(json.loads((found / "records.jsonl").read_text())["keypoints"][0]) == 17
    assert tool("export", "--checkpoint", best, "--output", outside / "own.onnx", "--flip") == 0
    assert tool("export", "--checkpoint", best, "--output", outside / "own.pt2") == 0
    card = read_card(best)["network"]
    assert card["network"] == f"{NAME}:build"
    assert card["options"] == {"width": 16}
    restored = load_model(best)
    images = torch.randn(1, 3, *SIZE)
    again = create_model(
        network=f"{NAME}:build", options={"width": 16}, input_size=SIZE, num_keypoints=17,
        blocks={"neck": "srl_fft"}, weights=best,
    ).eval()  # fmt: skip
    assert torch.equal(restored.model(images), again(images))

    # The code is gone: everything that needs it says so, and the card is still read.
    (outside / f"{NAME}.py").unlink()
    sys.modules.pop(NAME)
    with pytest.raises(CheckpointError, match=f"best.pt: its network cannot be built .*{NAME}"):
        load_model(best)
    capsys.readouterr()
    assert tool("predict", "--checkpoint", best, "--output", found, grey, "--overwrite") == 4
    assert "cannot be imported" in capsys.readouterr().err
    assert "unknown here" in read_card(best)["network"]["parameters"]


def test_a_checkpoint_cannot_have_any_function_called(outside, tmp_path):
    """It imports the module that it names, and calls what takes a network's two words alone."""
    called = []
    module = type(sys)("calls_of_the_test")
    module.anything = lambda **options: called.append(options)
    sys.modules["calls_of_the_test"] = module
    try:
        with pytest.raises(ConfigError, match="does not take num_keypoints and input_size"):
            create_model(network="calls_of_the_test:anything", options={"command": "x"})
    finally:
        del sys.modules["calls_of_the_test"]
    assert called == []


def test_a_pose_network_is_taken_as_it_is(outside):
    from keypoint.models.own_network import build_own_network
    from keypoint.models.simple_baseline import SimpleBaseline

    module = type(sys)("pose_of_the_test")
    module.build = lambda num_keypoints, input_size: SimpleBaseline(
        "resnet18", input_size=input_size, num_keypoints=num_keypoints
    )
    sys.modules["pose_of_the_test"] = module
    try:
        model = build_own_network(
            "pose_of_the_test:build", {}, input_size=(64, 64), num_keypoints=3, codec="udp",
            heatmap_sigma=1.5,
        )  # fmt: skip
        module.build = lambda num_keypoints, input_size: model
        with pytest.raises(ConfigError, match=r"called with .*: 5.* and returned .*: 3"):
            build_own_network("pose_of_the_test:build", {}, input_size=(64, 64), num_keypoints=5)
    finally:
        del sys.modules["pose_of_the_test"]
    assert isinstance(model, SimpleBaseline)
    assert isinstance(model.final_layer, nn.Conv2d)
    assert (model.codec.name, model.codec.sigma) == ("udp", 1.5)  # as the config has it
