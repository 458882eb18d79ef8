import hashlib
import http.server
import threading
from functools import partial

import pytest
import torch
import torchvision

from keypoint.errors import CheckpointError
from keypoint.models import create_model
from keypoint.models.weights.formats import read_weights

SMALL = {"encoder": "resnet18", "input_size": (64, 64)}


def randomised(model):
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.copy_(torch.rand_like(tensor, dtype=torch.float32))
    return model


def test_files_without_counters_load(tmp_path):
    """torch before 0.4.1 had no num_batches_tracked."""
    source = randomised(create_model(**SMALL))
    state = {k: v for k, v in source.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(state, tmp_path / "w.pth")
    loaded = create_model(**SMALL, weights=tmp_path / "w.pth").state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_a_file_without_a_state_dict(tmp_path):
    for content in ([1, 2], {}, {"state_dict": {}}, {"a": 1}):
        torch.save(content, tmp_path / "w.pth")
        with pytest.raises(CheckpointError, match="contains no state dict"):
            read_weights(tmp_path / "w.pth")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path):
    """A web server on this machine that offers a folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{served.server_port}"
    served.shutdown()


def imagenet_at(monkeypatch, tmp_path, url):
    """torchvision's own download code, asked for another address; the cache is this test's."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    weights = torchvision.models.get_model_weights("resnet18").IMAGENET1K_V1
    elsewhere = type(weights.value)(url, weights.value.transforms, weights.value.meta)
    monkeypatch.setattr(weights, "_value_", elsewhere)


def test_imagenet_weights_are_downloaded_once(server, tmp_path, monkeypatch):
    folder, url = server
    source = randomised(torchvision.models.resnet18(weights=None))
    torch.save(source.state_dict(), folder / "x.pth")
    digest = hashlib.sha256((folder / "x.pth").read_bytes()).hexdigest()[:8]
    (folder / "x.pth").rename(folder / f"resnet18-{digest}.pth")
    imagenet_at(monkeypatch, tmp_path, f"{url}/resnet18-{digest}.pth")
    model = create_model(**SMALL, weights="imagenet")
    assert torch.equal(model.conv1.weight, source.conv1.weight)
    (folder / f"resnet18-{digest}.pth").unlink()
    again = create_model(**SMALL, weights="imagenet")  # from the cache
    assert torch.equal(again.conv1.weight, source.conv1.weight)


def test_a_failed_download_says_what_to_do(server, tmp_path, monkeypatch):
    _, url = server
    imagenet_at(monkeypatch, tmp_path, f"{url}/resnet18-00000000.pth")
    text = r"could not be downloaded .*404.*put the file at .*model.weights=none"
    with pytest.raises(CheckpointError, match=text):
        create_model(**SMALL, weights="imagenet")


def test_a_download_with_another_hash_is_refused(server, tmp_path, monkeypatch):
    folder, url = server
    torch.save({}, folder / "resnet18-00000000.pth")
    imagenet_at(monkeypatch, tmp_path, f"{url}/resnet18-00000000.pth")
    with pytest.raises(CheckpointError, match="hash"):
        create_model(**SMALL, weights="imagenet")
