"""Encoders of timm under SimpleBaseline's decoder; the judge is timm itself, run without us."""

import copy
import functools
import hashlib
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from torch import nn

from keypoint import __version__
from keypoint.checkpoint.file import checkpoint_of, load_model, save_checkpoint
from keypoint.config.load import config_from_dict
from keypoint.errors import CheckpointError, ConfigError
from keypoint.export.card import ExportCard
from keypoint.export.write import export_network
from keypoint.models import create_model
from keypoint.models.complexity import Count, count_model
from keypoint.models.fold_norms import fold_norms
from keypoint.models.weights.formats import recognise
from keypoint.models.weights.timm_files import from_timm_file
from keypoint.pose.skeleton import load_skeleton

timm = pytest.importorskip("timm")

SIZE = (64, 96)
# Of each kind the smallest; Swin's is registered below.
KINDS = ("mobilenetv4_conv_small_035", "test_convnext", "test_efficientnet", "hrnet_w18_small", "test_vit", "keypoint_swin", "test_resnet")  # fmt: skip
SWIN = "keypoint_swin"
# Millions of parameters with the classifier: results/results-imagenet.csv of timm's repository.
PUBLISHED = {
    "mobilenetv4_conv_small.e2400_r224_in1k": 3.77,
    "convnext_atto.d2_in1k": 3.70,
    "efficientnet_b0.ra_in1k": 5.29,
    "hrnet_w18_small.ms_in1k": 13.19,
    "vit_tiny_patch16_224.augreg_in21k_ft_in1k": 5.72,
}
SKELETON = load_skeleton("coco17")


@functools.cache
def built(name, **options):
    """A network that no test changes."""
    torch.manual_seed(0)
    return create_model(f"timm/{name}", input_size=SIZE, **options)


def plain(name, **options):
    """timm's own model, with weights that differ from any other's."""
    net = timm.create_model(name, **options)
    with torch.no_grad():
        for tensor in net.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor), alpha=0.1)
    return net.eval()


default_cfgs = timm.models.generate_default_cfgs({"keypoint_swin.none": {"fixed_input_size": True}})

checkpoint_filter_fn = timm.models.swin_transformer.checkpoint_filter_fn


@timm.models.register_model
def keypoint_swin(pretrained=False, **options):
    """Swin-T, narrow and shallow."""
    made = timm.models.swin_transformer._create_swin_transformer
    size = {"embed_dim": 16, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 2, 4), "window_size": 4}
    return made("keypoint_swin", pretrained=pretrained, **size, **options)


class Strided(nn.Module):
    """A backbone of any stride, as timm's with features_only."""

    class feature_info:  # noqa: N801 -- timm's name
        channels = staticmethod(lambda: [5])

    def __init__(self, stride):
        super().__init__()
        self.feature_info = type("Info", (self.feature_info,), {"reduction": staticmethod(lambda: [stride])})  # fmt: skip
        self.conv = nn.Conv2d(3, 5, stride, stride)

    def forward(self, x):
        return [self.conv(x)]


@timm.models.register_model
def keypoint_stride4(pretrained=False, features_only=False, out_indices=(), **_):
    return Strided(4)


@timm.models.register_model
def keypoint_stride64(pretrained=False, features_only=False, out_indices=(), **_):
    return Strided(64)


@timm.models.register_model
def keypoint_stride14(pretrained=False, features_only=False, out_indices=(), **_):
    return Strided(14)


@timm.models.register_model
def keypoint_lies(pretrained=False, features_only=False, out_indices=(), **_):
    made = Strided(8)
    made.conv.stride = (4, 4)
    return made


@timm.models.register_model
def keypoint_no_maps(pretrained=False, **_):
    raise RuntimeError("features_only not implemented")


# ---------------------------------------------------------------- the network


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_backbone_learns(name):
    torch.manual_seed(0)
    model = copy.deepcopy(built(name)).train()
    images, target = torch.randn(2, 3, *SIZE), torch.rand(2, 17, 16, 24)
    trained = [p for p in model.parameters() if p.requires_grad]
    adam = torch.optim.Adam(trained, 1e-3)
    losses = []
    for _ in range(2):
        heatmaps = model(images)
        assert heatmaps.shape == (2, 17, *model.heatmap_size) == target.shape
        loss = (heatmaps - target).square().mean()
        adam.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in trained)
        adam.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]
    names = [n for n, p in model.named_parameters() if not p.requires_grad]
    assert bool(names) == name.startswith("hrnet")  # its upper branches feed no last map
    assert all(n.startswith("encoder.") for n in names)


@pytest.mark.parametrize("name", KINDS)
def test_every_parameter_is_counted_once(name):
    parts = count_model(f"timm/{name}", input_size=SIZE, num_keypoints=17)
    sites = [f"deconv{i + 1}" for i in range(2 if "vit" in name else 3)]
    assert list(parts) == ["encoder", *sites, "head"]
    total = sum(parts.values(), Count.zero()).true
    assert total.parameters == sum(p.numel() for p in built(name).parameters())
    assert total.multiply_adds > 0


@pytest.mark.parametrize("name", PUBLISHED)
def test_encoder_and_classifier_have_the_published_parameters(name):
    net = timm.create_model(name)
    assert round(sum(p.numel() for p in net.parameters()) / 1e6, 2) == PUBLISHED[name]
    model = built(name)
    found = from_timm_file(model, recognise(net.state_dict(), "file", own_names=True))
    assert sorted(found.state) == [n for n in sorted(model.state_dict()) if n.startswith("encoder")]
    assert len(found.state) + len(found.left_out) == len(net.state_dict())


@pytest.mark.parametrize(("name", "deconvs"), [("keypoint_stride4", 0), ("keypoint_stride64", 4)])
def test_deconvolutions_lead_from_any_stride_to_a_quarter(name, deconvs):
    model = create_model(f"timm/{name}", input_size=(128, 64), num_keypoints=3)
    assert len(model.deconv_layers) == 3 * deconvs
    assert list(model.SITES) == [f"deconv{i + 1}" for i in range(deconvs)]
    assert model(torch.zeros(2, 3, 128, 64)).shape == (2, 3, 32, 16)
    assert model.multiple == max(4, 4 * 2**deconvs)


def test_another_stride_where_timm_has_it():
    model = create_model("timm/test_convnext", input_size=SIZE, encoder_stride=16)
    assert model.encoder(torch.zeros(1, 3, *SIZE))[-1].shape[2:] == (4, 6)
    assert len(model.deconv_layers) == 6
    assert create_model("timm/test_vit", input_size=SIZE, encoder_stride=16).SITES == ("deconv1", "deconv2")  # fmt: skip


def test_axes_of_swin_are_those_timm_declares():
    model, net = built(SWIN), timm.create_model(SWIN, img_size=SIZE)
    state = from_timm_file(model, recognise(net.state_dict(), "file", own_names=True)).state
    encoder = {name.removeprefix("encoder."): tensor for name, tensor in state.items()}
    images, seen = torch.randn(1, 3, *SIZE), []
    hook = model.deconv_layers[0].register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    with torch.no_grad():
        torch.func.functional_call(model.eval(), {f"encoder.{n}": t for n, t in encoder.items()}, (images,))  # fmt: skip
        expected = net.eval().forward_intermediates(images, indices=1, norm=False, output_fmt="NCHW", intermediates_only=True)[-1]  # fmt: skip
    hook.remove()
    assert seen[0].shape == (1, 128, 2, 3)
    assert torch.allclose(seen[0], expected, atol=1e-5)


def test_the_decoder_alone_is_folded():
    model = create_model("timm/test_convnext", input_size=SIZE).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    nn.init.normal_(model.final_layer.weight)
    images = torch.randn(2, 3, *SIZE)
    before = {name: t.clone() for name, t in model.encoder.state_dict().items()}
    with torch.no_grad():
        expected = model(images)
        fold_norms(model)
        assert torch.allclose(model(images), expected, atol=1e-5 * float(expected.abs().max()))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.deconv_layers)
    assert all(torch.equal(t, before[n]) for n, t in model.encoder.state_dict().items())


def test_blocks_at_deconvolutions_and_inside_the_encoder():
    sites = {"encoder.stages_2": "srl_fft", "deconv1": "nl", "deconv3": "nl"}
    model = create_model("timm/test_convnext", input_size=SIZE, blocks=sites)
    paths = ["blocks.deconv1", "blocks.deconv3", "encoder.stages_2.block"]
    assert sorted(model.block_paths().values()) == paths
    assert model(torch.zeros(2, 3, *SIZE)).shape == (2, 17, 16, 24)
    everywhere = create_model("timm/test_vit", input_size=SIZE, blocks="nl")
    assert list(everywhere.blocks) == ["deconv1", "deconv2"]


def test_a_block_on_b_h_w_c_maps_inside_swin():
    inside = {
        "encoder.layers_2": {"type": "nl", "layout": "bhwc"},
        "encoder.patch_embed.proj": "nl",
    }
    model = create_model(f"timm/{SWIN}", input_size=SIZE, blocks=inside)
    images = torch.randn(1, 3, *SIZE)
    assert [block.channels for block in model.all_blocks().values()] == [64, 16]
    assert model(images).shape == (1, 17, 16, 24)


def test_another_input_size_only_where_the_encoder_takes_it():
    model = create_model("timm/test_convnext", input_size=SIZE)
    model.set_input_size((96, 64))
    assert model(torch.zeros(2, 3, 96, 64)).shape == (2, 17, *model.heatmap_size)
    with pytest.raises(ConfigError, match=r"timm/test_vit was built for input_size=\[64, 96\]"):
        built("test_vit").set_input_size((96, 64))
    built("test_vit").set_input_size(SIZE)


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_an_exported_vit_takes_any_batch(suffix, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = create_model("timm/test_vit", input_size=SIZE).eval()
    nn.init.normal_(model.final_layer.weight)
    card = ExportCard(
        version=__version__, skeleton=SKELETON, input_size=SIZE, input="uint8", outputs="heatmaps",
        codec="heatmap", decoding="quarter", flip=False, precision="float32",
    )  # fmt: skip
    assert export_network(model, card, tmp_path / f"vit{suffix}").heatmaps < 1e-4
    if suffix == ".onnx":
        session = onnxruntime.InferenceSession(tmp_path / "vit.onnx")
    else:
        module = torch.export.load(tmp_path / "vit.pt2").module()
    for batch in (1, 3):
        crops = torch.randint(0, 256, (batch, *SIZE, 3), dtype=torch.uint8)
        with torch.no_grad():
            expected = model(model.normalize(crops))
            if suffix == ".onnx":
                heatmaps = torch.tensor(session.run(None, {"crops": crops.numpy()})[0])
            else:
                heatmaps = module(crops)[0]
        assert heatmaps.shape == (batch, 17, 16, 24)
        assert torch.allclose(heatmaps, expected, atol=1e-4 * float(expected.abs().max()))


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize("name", ["test_convnext", "test_efficientnet", "test_vit", "hrnet_w18_small", SWIN])  # fmt: skip
def test_a_file_of_timm_gives_what_timm_loads(name, tmp_path):
    net = plain(name, num_classes=7)
    torch.save(net.state_dict(), tmp_path / "file.pth")
    model = create_model(f"timm/{name}", input_size=SIZE, weights=tmp_path / "file.pth")
    cfg = timm.get_pretrained_cfg(name)
    options = {"img_size": SIZE} if cfg.fixed_input_size else {}
    theirs = timm.create_model(
        name, features_only=True, out_indices=(-1,), pretrained=True,
        pretrained_cfg_overlay={"state_dict": net.state_dict(), "num_classes": 7}, **options,
    )  # fmt: skip
    ours = model.encoder.state_dict()
    assert list(ours) == list(theirs.state_dict())
    assert all(torch.equal(ours[n], tensor) for n, tensor in theirs.state_dict().items())
    assert model.colors()["mean"] == pytest.approx(cfg.mean)
    assert model.colors()["std"] == pytest.approx(cfg.std)
    assert model.color_order == "rgb"


def test_what_was_left_out_is_said_and_blocks_may_be_inside(tmp_path, caplog):
    net = plain("test_convnext")
    torch.save(net.state_dict(), tmp_path / "file.pth")
    caplog.set_level("INFO")
    model = create_model(
        "timm/test_convnext", input_size=SIZE, weights=tmp_path / "file.pth",
        blocks={"encoder.stages_2": "srl_fft"},
    )  # fmt: skip
    assert "4 not used: head.norm.weight, head.norm.bias, head.fc.weight, head.fc.bias" in caplog.text  # fmt: skip
    inside = model.get_submodule("encoder.stages_2.site").state_dict()
    assert all(torch.equal(inside[n], t) for n, t in net.stages[2].state_dict().items())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda state: state.pop("stem.0.weight"), r"1 missing: encoder\.stem_0\.weight"),
        (lambda state: state.update(odd=torch.zeros(1)), r"1 unexpected: encoder\.odd"),
        (lambda state: state.update({"stem.1.bias": torch.zeros(9)}), r"1 of another shape: encoder\.stem_1\.bias \(9,\)"),
        (lambda state: state["stem.0.bias"].fill_(float("nan")), r"not finite"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_refused(change, text, tmp_path):
    state = timm.create_model("test_convnext").state_dict()
    change(state)
    torch.save(state, tmp_path / "file.pth")
    with pytest.raises(CheckpointError, match=text):
        create_model("timm/test_convnext", input_size=SIZE, weights=tmp_path / "file.pth")


def checkpoint(path, name, encoder=None):
    """Of an untrained network; the config may name another encoder."""
    model = built(name)
    section = {"encoder": f"timm/{encoder or name}", "input_size": list(SIZE)}
    config = config_from_dict({"model": section}, "test")
    content = checkpoint_of(model, config, SKELETON, versions={"keypoint": __version__})
    save_checkpoint(path, content | {"mean": [0.5, 0.4, 0.3]})
    return model


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_efficientnet"])
def test_a_checkpoint_comes_back(name, tmp_path):
    model = checkpoint(tmp_path / "one.pt", name)
    loaded = load_model(tmp_path / "one.pt").model
    assert list(loaded.state_dict()) == list(model.state_dict())
    assert all(torch.equal(loaded.state_dict()[n], t) for n, t in model.state_dict().items())
    assert loaded.colors()["mean"] == pytest.approx([0.5, 0.4, 0.3])
    started = create_model(f"timm/{name}", input_size=SIZE, weights=tmp_path / "one.pt")
    assert torch.equal(started.final_layer.weight, model.final_layer.weight)


def test_a_checkpoint_of_another_encoder_is_refused_though_it_fits(tmp_path):
    checkpoint(tmp_path / "tf.pt", "test_convnext", encoder="tf_efficientnet_b0.in1k")
    text = r"tf\.pt: trained with model\.encoder=timm/tf_efficientnet_b0\.in1k; set this"
    for encoder in ("timm/test_convnext", "resnet18"):
        with pytest.raises(CheckpointError, match=text):
            create_model(encoder, input_size=SIZE, weights=tmp_path / "tf.pt")
    checkpoint(tmp_path / "tag.pt", "test_convnext", encoder="test_convnext.r160_in1k")
    create_model("timm/test_convnext", input_size=SIZE, weights=tmp_path / "tag.pt")


# ---------------------------------------------------------------- timm's weights by name


class Hub(BaseHTTPRequestHandler):
    """/timm/<name>.<tag>/resolve/main/model.safetensors, as hf_hub_download asks for it."""

    def answer(self, body):
        data = self.server.files.get(self.path.partition("?")[0])
        self.send_response(200 if data else 404)
        self.send_header("Content-Length", str(len(data or b"")))
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("ETag", f'"{hashlib.sha256(data or b"").hexdigest()}"')
        if not data:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        if body and data:
            self.wfile.write(data)

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def log_message(self, *_):
        pass


def answer_at(monkeypatch, endpoint):
    """As HF_ENDPOINT, which the client reads once, before."""
    url = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", url)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    constants = pytest.importorskip("huggingface_hub").constants
    served = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    served.files = {}
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    answer_at(monkeypatch, f"http://127.0.0.1:{served.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("the Hub's client tries again"))
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


def test_imagenet_weights_come_from_the_hub_with_their_colours(hub):
    safetensors = pytest.importorskip("safetensors.torch")
    cfg = timm.get_pretrained_cfg("test_vit")
    net = plain("test_vit")
    hub.files[f"/{cfg.hf_hub_id}/resolve/main/model.safetensors"] = safetensors.save(net.state_dict())  # fmt: skip
    model = create_model("timm/test_vit", input_size=(160, 160), weights="imagenet")
    ours = model.encoder.model.state_dict()
    assert len(ours) > 20
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in ours.items())
    assert cfg.mean == (0.5, 0.5, 0.5)
    assert model.colors()["mean"] == pytest.approx(cfg.mean)
    hub.files.clear()  # cached now
    assert create_model("timm/test_vit", input_size=SIZE, weights="imagenet").codec


def test_without_the_hub_the_error_comes_at_once_and_says_what_to_do(hub, monkeypatch):
    remedy = r"fetch model\.safetensors of https://huggingface\.co/timm/test_vit\.r160_in1k elsewhere and give model\.weights=FILE, or"  # fmt: skip
    with pytest.raises(CheckpointError, match=f"RepositoryNotFoundError.*{remedy}"):
        create_model("timm/test_vit", input_size=SIZE, weights="imagenet")
    answer_at(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match=f"could not be downloaded.*{remedy}"):
        create_model("timm/test_vit", input_size=SIZE, weights="imagenet")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=f"OfflineModeIsEnabled.*{remedy}"):
        create_model("timm/test_vit", input_size=SIZE, weights="imagenet")


def test_a_model_without_weights_in_timm_says_so():
    with pytest.raises(CheckpointError, match="timm has no weights for it; train from scratch"):
        create_model("timm/keypoint_stride4", input_size=SIZE, weights="imagenet")


def test_random_weights_expect_imagenets_colours():
    assert built("test_vit").colors()["mean"] == pytest.approx([0.485, 0.456, 0.406])


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("encoder", "options", "text"),
    [
        ("timm/convnext_ato", {}, r"timm [\d.]+ has no model 'convnext_ato'; did you mean timm/convnext_atto"),
        ("timm/hf-hub:user/name", {}, r"has no model 'hf-hub:user/name'; timm\.list_models"),
        ("timm/convnext_atto.foo", {}, r"no weights 'foo' of convnext_atto; leave the tag out, or give one of d2_in1k"),
        ("timm/", {}, r"encoder='timm/' is unknown; choose one of .*, or timm/<name>"),
        ("timm/keypoint_no_maps", {}, r"does not build it with feature maps .*\(RuntimeError: features_only not"),
        ("timm/keypoint_stride14", {}, r"its map has stride 14; .* from a stride of 4, 8, 16, 32, 64, 128"),
        ("timm/keypoint_stride64", {"input_size": (128, 64), "encoder_stride": 16}, r"encoder_stride=16 is not possible"),
        ("timm/keypoint_lies", {}, r"last map for an input of \[64, 96\] is \(1, 5, 15, 23\), not \(1, 5, 8, 12\)"),
        ("timm/test_convnext", {"input_size": (60, 96)}, r"input_size=\[60, 96\] must be .* multiples of 32"),
        ("timm/test_convnext", {"dilated": True}, r"dilated=true has no effect with encoder=timm/test_convnext"),
        ("timm/test_vit", {"encoder_stride": 8}, r"encoder_stride=8 is not possible with timm/test_vit, whose stride is 16"),
        ("timm/hrnet_w18_small", {"encoder_stride": 16}, r"encoder_stride=16 is not possible .* stride is 32"),
        ("timm/test_vit", {"blocks": {"deconv3": "nl"}}, r"the site 'deconv3'; with an encoder of stride 16 sites are \['deconv1', 'deconv2'\]"),
        ("timm/test_convnext", {"blocks": {"layer4": "nl"}}, r"no submodule 'layer4'"),
        ("timm/keypoint_stride4", {"blocks": "nl"}, r"this network has no sites of its own"),
        (f"timm/{SWIN}", {"blocks": {"encoder.layers_2": "nl"}}, r"are B H W C; write \{type: nl, layout: bhwc\}"),
    ],
)  # fmt: skip
def test_errors_say_what_is_possible(encoder, options, text):
    with pytest.raises(ConfigError, match=text):
        create_model(encoder, **{"input_size": SIZE, **options})


def test_without_timm_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"need the package timm .*pip install keypoint\[timm\]"):
        create_model("timm/resnet18", input_size=SIZE)
