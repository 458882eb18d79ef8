"""HRNet has the names, counts and outputs of its repository and of timm; blocks change nothing."""

import copy
import json
import sys

import huggingface_hub
import pytest
import timm
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from keypoint import __version__
from keypoint.checkpoint.file import load_model
from keypoint.data.synthetic.demo_set import write_demo_set
from keypoint.errors import CheckpointError, ConfigError
from keypoint.export.card import ExportCard
from keypoint.export.network import convert_network
from keypoint.export.write import export_network
from keypoint.models import HRNet, create_model, hrnet
from keypoint.models.complexity import Count, count_model
from keypoint.models.fold_norms import fold_norms
from keypoint.models.names import HRNET_WIDTHS
from keypoint.models.weights import timm_files
from tests import tiny_network
from tests.calling import tool
from tests.export.test_export import Branching
from tests.models.test_weights import randomised
from tests.reference import pose_hrnet

SIZE = (96, 64)
# (channels, height, width) of the maps that each site's blocks take, at width 8.
MAPS = {
    "stage2": [(8, 24, 16), (16, 12, 8)],
    "stage3": [(8, 24, 16), (16, 12, 8), (32, 6, 4)],
    "stage4": [(8, 24, 16), (16, 12, 8), (32, 6, 4), (64, 3, 2)],
    "head": [(8, 24, 16)],
}


def small(**options):
    torch.manual_seed(0)
    return HRNet(8, **{"input_size": SIZE, "num_keypoints": 5} | options)


def trained(**options):
    """With the weights of a file, and blocks that do something."""
    model = small(**options)
    model.load_state_dict(pose_hrnet.pose_hrnet(8, model.num_keypoints), strict=False)
    for parameter in model.blocks.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.fixture
def narrow(monkeypatch):
    """The network of that name with fewer channels, for what does not depend on them."""
    monkeypatch.setitem(HRNET_WIDTHS, "hrnet_w32", 8)
    return "hrnet_w32"


def close(given, expected, relative=1e-9):
    scale = expected.abs().max().item()
    assert scale > 0.1
    torch.testing.assert_close(given, expected, rtol=0, atol=relative * scale)


@pytest.mark.parametrize(
    ("network", "width", "parameters"),
    [("hrnet_w32", 32, 28_536_113), ("hrnet_w48", 48, 63_595_745)],
)
def test_names_and_shapes_are_those_of_the_repositorys_files(network, width, parameters):
    """Published: 28.5 M and 63.6 M."""
    with FakeTensorMode():
        model = create_model(network=network)
    shapes = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    file = {name: tuple(t.shape) for name, t in pose_hrnet.pose_hrnet(width).items()}
    assert shapes == file
    assert len(shapes) == 1754
    assert list(shapes)[-2:] == ["final_layer.weight", "final_layer.bias"]
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(
    ("network", "size", "published"),
    [
        ("hrnet_w32", (256, 192), 7.10),
        ("hrnet_w32", (384, 288), 16.0),
        ("hrnet_w48", (256, 192), 14.6),
        ("hrnet_w48", (384, 288), 32.9),
    ],
)
def test_cost_is_the_papers(network, size, published):
    """HRNet paper, table 1; a G is 2^30 there, as the column `paper` has it."""
    parts = count_model(network=network, input_size=size)
    assert list(parts) == [
        "stem", "layer1", "transition1", "stage2", "transition2", "stage3", "transition3",
        "stage4", "head",
    ]  # fmt: skip
    total = sum(parts.values(), Count.zero())
    assert total.paper.multiply_adds / 2**30 == pytest.approx(published, rel=4e-3)
    # The upsampling's index arithmetic is all that the true column has besides.
    assert total.true.multiply_adds == pytest.approx(total.paper.multiply_adds, rel=1e-6)
    assert total.true.parameters == total.paper.parameters


def test_heatmaps_are_those_of_a_slow_restatement():
    model = trained().double()
    images = torch.randn(2, 3, *SIZE, dtype=torch.float64)
    with torch.no_grad():
        heatmaps = model(images)
    assert heatmaps.shape == (2, 5, 24, 16)
    close(heatmaps, pose_hrnet.heatmaps(pose_hrnet.pose_hrnet(8, 5), images))


def test_it_starts_as_the_reference_does():
    model = small()
    for name in ("conv1", "stage3.3.fuse_layers.2.0.1.0", "stage4.0.branches.3.0.conv1"):
        assert model.get_submodule(name).weight.std().item() == pytest.approx(0.001, rel=0.06)
    assert torch.equal(model.final_layer.bias, torch.zeros(5))
    assert (model.stage2[0].branches[0][0].bn1.weight == 1).all()


# ---------------------------------------------------------------- blocks


@pytest.mark.parametrize("blocks", ["srl_fft", {"head": "srl_lo", "stage3": "nl"}])
def test_blocks_start_as_the_identity(blocks):
    plain = trained()
    model = small(blocks=blocks).eval()
    model.load_state_dict(plain.state_dict(), strict=False)
    images = torch.randn(2, 3, *SIZE)
    with torch.no_grad():
        assert torch.equal(model(images), plain(images))


def test_a_stages_blocks_lie_on_its_last_modules_branches():
    model = trained(blocks=dict.fromkeys(MAPS, {"type": "srl_fft", "groups": 1}))
    assert list(model.all_blocks()) == list(model.blocks) == list(MAPS)
    assert "blocks.stage4.3.alpha" in model.state_dict()
    seen, branches = {}, {}
    for name, module in model.named_modules():
        if name in {f"blocks.{s}.{i}" for s in MAPS for i in range(4)} | {"blocks.head"}:
            module.register_forward_hook(
                lambda _, given, out, name=name: seen.update({name: (given[0], out)})
            )
        if ".branches." in name and name.count(".") == 3:
            module.register_forward_hook(
                lambda _, given, out, name=name: branches.update({name: out})
            )
    with torch.no_grad():
        model(torch.randn(1, 3, *SIZE))
    for site, maps in MAPS.items():
        for i, shape in enumerate(maps):
            given, out = seen.pop("blocks.head" if site == "head" else f"blocks.{site}.{i}")
            assert tuple(given.shape[1:]) == shape
            assert not torch.equal(given, out)
            if site != "head":
                last = len(model.get_submodule(site)) - 1
                assert torch.equal(given, branches[f"{site}.{last}.branches.{i}"])
    assert not seen


@pytest.mark.parametrize("site", list(MAPS))
def test_every_block_of_a_site_takes_part(site):
    """Each alone changes the heatmaps, so none is passed by."""
    model = trained(blocks={site: "srl_fft"})
    images = torch.randn(1, 3, *SIZE)
    with torch.no_grad():
        before = model(images)
        found = [module for module in model.blocks.modules() if hasattr(module, "alpha")]
        assert len(found) == len(MAPS[site])
        for block in found:
            kept = block.alpha.clone()
            nn.init.zeros_(block.alpha)
            assert not torch.equal(model(images), before)
            block.alpha.copy_(kept)


def test_blocks_follow_any_other_submodule(narrow):
    blocks = {"stage3.1.branches.2": "nl", "layer1": "srl_fft", "stage2": "nl"}
    model = create_model(network=narrow, input_size=SIZE, num_keypoints=5, blocks=blocks).eval()
    plain = trained()
    model.load_state_dict({
        name.replace("layer1.", "layer1.site.").replace("branches.2.", "branches.2.site.")
        if name.startswith(("layer1.", "stage3.1.branches.2.")) else name: tensor
        for name, tensor in plain.state_dict().items()
    }, strict=False)  # fmt: skip
    images = torch.randn(1, 3, *SIZE)
    with torch.no_grad():
        assert torch.equal(model(images), plain(images))
    assert sorted(model.all_blocks()) == sorted(blocks)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"input_size": (80, 64)}, r"input_size=\[80, 64\] must be .* multiples of 32"),
        ({"blocks": "srl_ftt"}, "blocks at stage2: .*srl_ftt.*srl_fft"),
        ({"blocks": {"stage5": "nl"}}, r"blocks at stage5: .*own sites are \['stage2'"),
        ({"blocks": {"stage3.0": "nl"}}, "no block can follow 'stage3.0'.*returns"),
        ({"blocks": {"stage4": {"type": "srl_fft", "groups": 3}}}, "blocks at stage4: .*groups=3"),
        ({"options": {"width": 18}}, "options have no effect with network=hrnet_w32"),
    ],
)
def test_what_does_not_fit_is_refused(narrow, options, text):
    with pytest.raises(ConfigError, match=text):
        create_model(**{"network": narrow, "input_size": SIZE} | options)
    with pytest.raises(ConfigError, match="width=0 must be at least 1"):
        HRNet(0)
    with pytest.raises(ConfigError, match=r"'layer1'; sites are \['stage2', .*'head'\]"):
        HRNet(8, blocks={"layer1": "nl"})


def test_an_unknown_option_does_not_list_sites(narrow):
    with pytest.raises(
        ConfigError, match="blocks at layer1: after 'layer1'.* no option 'goups'"
    ) as e:
        create_model(
            network=narrow, input_size=SIZE, blocks={"layer1": {"type": "srl_fft", "goups": 3}}
        )
    assert "sites" not in str(e.value)


# ---------------------------------------------------------------- what the toolkit does with it


def test_folded_norms_leave_the_heatmaps():
    model = trained(blocks={"stage3": "nl"}).double()
    folded = copy.deepcopy(model)
    fold_norms(folded)
    outside = [m for name, m in folded.named_modules() if not name.startswith("blocks")]
    assert not any(isinstance(module, nn.BatchNorm2d) for module in outside)
    images = torch.randn(2, 3, *SIZE, dtype=torch.float64)
    with torch.no_grad():
        close(folded(images), model(images), 1e-12)


def test_it_runs_at_another_resolution_and_in_any_layout():
    model = trained(blocks="srl_fft")
    model.set_input_size((64, 128))
    images = torch.randn(3, 3, 64, 128)
    with torch.no_grad():
        expected = model(images)
        assert expected.shape == (3, 5, 16, 32)
        close(torch.cat([model(image[None]) for image in images]), expected, 1e-5)
        model.to(memory_format=torch.channels_last)
        given = images.contiguous(memory_format=torch.channels_last)
        close(model(given), expected, 1e-5)
        assert not model(given).is_contiguous()
        for norm in model.modules():  # the made-up weights' maps grow beyond 65504
            if isinstance(norm, nn.BatchNorm2d):
                norm.weight *= 0.3
        expected = model(images)
        heatmaps = model.half()(images.half())
    assert heatmaps.dtype == torch.float16
    close(heatmaps.float(), expected, 0.02)
    with pytest.raises(ConfigError, match=r"input_size=\[80, 64\] must be"):
        model.set_input_size((80, 64))


def test_gradients_reach_every_parameter():
    model = small(blocks=dict.fromkeys(MAPS, "nl")).train()
    for parameter in model.blocks.parameters():
        nn.init.normal_(parameter, std=0.3)
    (model(torch.randn(2, 3, *SIZE)) - 1).square().mean().backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # A norm follows or a softmax, whose shift it undoes.
    assert [n for n in without if not n.startswith("blocks") or not n.endswith("bias")] == []


def card_of(model):
    return ExportCard(
        version=__version__, skeleton=tiny_network.SKELETON, input_size=model.input_size,
        input="uint8", outputs="heatmaps", codec="heatmap", decoding="quarter", flip=False,
        precision="float32",
    )  # fmt: skip


@pytest.fixture
def short(monkeypatch):
    """Fewer modules of fewer units: an exporter takes minutes for all of them."""
    monkeypatch.setattr(hrnet, "MODULES", {"stage2": 1, "stage3": 1, "stage4": 1})
    monkeypatch.setattr(hrnet, "UNITS", 1)

    def build(blocks):
        model = small(num_keypoints=17, input_size=(64, 32), blocks=blocks).eval()
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.3)
        return model

    return build


def test_its_onnx_agrees(short, tmp_path):
    model = short({"stage4": "srl_fft", "head": "nl"})
    assert export_network(model, card_of(model), tmp_path / "hrnet.onnx").heatmaps < 1e-4


def test_the_block_of_a_stage_that_cannot_be_exported_is_named(short):
    model = short({"stage2": "nl"})
    model.blocks["stage2"][1] = Branching()
    with pytest.raises(Exception, match="the block nl at stage2 cannot be exported as ONNX"):
        convert_network(
            model,
            card_of(model),
            "ONNX",
            lambda network, x: torch.export.export(network, (x,)),
        )


CONFIG = """
data: {root: ROOT, workers: 0}
model: {network: hrnet_w32, weights: none, input_size: [64, 64], blocks: srl_fft}
train: {epochs: 2, batch_size: 8, evaluate_every: 2}
"""


def test_it_trains_tests_and_exports_by_the_same_commands(narrow, short, tmp_path):
    data, output = tmp_path / "data", tmp_path / "run"
    write_demo_set(data, train_images=8, val_images=2, seed=1)
    (tmp_path / "hrnet.yaml").write_text(CONFIG.replace("ROOT", str(data)))
    assert tool("train", "--cfg", tmp_path / "hrnet.yaml", f"output={output}") == 0
    best = output / "best.pt"
    assert tool("test", "--checkpoint", best, f"output={tmp_path / 'tested'}") == 0
    measured = json.loads((tmp_path / "tested" / "metrics.json").read_text())["metrics"]["AP"]
    assert measured == json.loads((output / "metrics.json").read_text())["metrics"]["AP"]
    assert tool("export", "--checkpoint", best, "--output", tmp_path / "hrnet.pt2") == 0
    restored = load_model(best).model
    assert type(restored) is HRNet
    assert list(restored.all_blocks()) == ["stage2", "stage3", "stage4"]


# ---------------------------------------------------------------- ImageNet weights


def test_timms_imagenet_weights_give_timms_maps(monkeypatch):
    """By timm's own network, up to its fused map of stride 4."""
    torch.manual_seed(0)
    theirs = randomised(timm.create_model("hrnet_w32")).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter -= 0.5
            parameter /= max(parameter[0].numel(), 1) ** 0.5
    asked = []
    monkeypatch.setattr(timm_files, "_ask_hub", lambda *_: None)
    monkeypatch.setattr(
        timm, "create_model", lambda name, **options: asked.append((name, options)) or theirs
    )
    model = create_model(network="hrnet_w32", input_size=SIZE, weights="imagenet").eval()
    assert asked == [("hrnet_w32", {"pretrained": True})]
    assert model.color_order == "rgb"
    assert model.final_layer.weight.std() < 0.002  # not ImageNet's final_layer
    model.final_layer = nn.Identity()
    images = torch.randn(2, 3, *SIZE)
    with torch.no_grad():
        x = theirs.act2(theirs.bn2(theirs.conv2(theirs.act1(theirs.bn1(theirs.conv1(images))))))
        expected = theirs.stages(x)[0]
        close(model(images), expected, 1e-5)


def test_without_timm_its_extra_is_named(monkeypatch, narrow):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"pip install keypoint\[timm\]"):
        create_model(network=narrow, input_size=SIZE, weights="imagenet")


def test_a_failed_download_says_what_to_do(monkeypatch, narrow):
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)

    def offline(*_, **__):
        raise OSError("no connection")

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", offline)
    text = (
        r"hrnet_w32: timm's .*\(OSError: no connection\); fetch model.safetensors .*hrnet_w32.ms_"
    )
    with pytest.raises(CheckpointError, match=text):
        create_model(network=narrow, input_size=SIZE, weights="imagenet")
