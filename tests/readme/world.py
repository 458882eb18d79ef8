"""The folder in which the README's commands work: what their words name is made, as small as it can be.

A command that names a new kind of file needs an entry in MAKERS. Without one the command itself says what it misses, and its
test fails.
"""

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torchvision
import yaml

from keypoint.action.config import load_action_config
from keypoint.action.echo.dataset import write_echo_set
from keypoint.action.evaluation.scores import FILE as SCORES
from keypoint.action.evaluation.scores import save_scores
from keypoint.checkpoint.file import checkpoint_of, save_checkpoint
from keypoint.config.load import dump_config, find_config, load_config, task_of
from keypoint.data.synthetic.demo_set import write_demo_set
from keypoint.data.synthetic.signs import write_sign_set
from keypoint.export.card import ExportCard
from keypoint.export.write import export_network
from keypoint.files import sha256_of
from keypoint.models import create_model
from keypoint.models.weights.by_name import published
from keypoint.pose.names import DECODINGS
from keypoint.pose.skeleton import load_skeleton
from tests import tiny_coco, tiny_network
from tests.action import tiny_checkpoint
from tests.action.data.made_up_videos import write_video as write_numbered
from tests.action.evaluation import made
from tests.action.tiny_action import write_set
from tests.calling import tool
from tests.checkpoint.published_weights import install, saved
from tests.data.test_containers import write as write_video
from tests.evaluation.runs.made import run
from tests.readme.documents import README, blocks
from tests.reference import pose_resnet

SIZE = "[32,32]"  # of the input of what is trained, where the command says no other
DETECTOR = "fasterrcnn_mobilenet_v3_large_320_fpn"
CONVERT = Path(__file__).parents[1] / "fixtures" / "convert"
TINY = ["model.encoder=resnet18", "model.weights=none", "data.workers=0"]


def picture(path, size=(160, 120)):
    path.parent.mkdir(exist_ok=True, parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.resize(noise, size))


def coco(folder):
    tiny_coco.write(folder, tiny_coco.content(4, 2, seed=1), "train2017")
    tiny_coco.write(folder, tiny_coco.content(1, 2), "val2017")
    tests = tiny_coco.content(1, 0)
    del tests["annotations"]
    tiny_coco.write(folder, tests, "test2017")
    info = folder / "annotations" / "image_info_test-dev2017.json"
    (folder / "annotations" / "person_keypoints_test2017.json").rename(info)


def coco_sample(folder):
    file, images = tiny_coco.write(folder, tiny_coco.content(4, 1), "sample")
    images.rename(folder / "images")


def boxes(path, annotations):
    content = json.loads(annotations.read_text())
    keys = [entry["id"] for entry in content["images"]]
    entries = [{"image_id": key, "category_id": 1, "bbox": [20, 20, 60, 70], "score": 0.9} for key in keys]  # fmt: skip
    path.write_text(json.dumps(entries))


def new_images(path):
    """ids.json or boxes.json of the page about photos, and its images in new/ and photos/."""
    page = README.parent / "docs" / "guides" / "photos-and-videos.md"
    texts = {"ids.json": '{"images"', "boxes.json": '[{"image_id"'}
    found = {
        name: next(b.text for b in blocks(page.read_text()) if b.text.startswith(start))
        for name, start in texts.items()
    }
    path.write_text(found[path.name])
    for entry in json.loads(found["ids.json"])["images"]:
        for folder in ("new", "photos"):
            name = path.parent / folder / entry["file_name"]
            picture(name, (entry["width"], entry["height"]))


def own_data(folder):
    """my.json, pictures/ and my_skeleton.yaml; sign.yaml and two annotators' files of the same signs."""
    data = folder / "signs"
    write_sign_set(data, train_images=6, val_images=1, seed=0)
    skeleton = yaml.safe_load((data / "sign.yaml").read_text())
    for name in ("my_skeleton.yaml", "sign.yaml"):
        (folder / name).write_text(yaml.safe_dump(skeleton))
    content = json.loads((data / "annotations" / "signs_train.json").read_text())
    for name in ("my.json", "anna.json"):
        (folder / name).write_text(json.dumps(content))
    rng = np.random.default_rng(0)
    for entry in content["annotations"]:
        if "keypoints" not in entry:  # of another category
            continue
        points = np.reshape(entry["keypoints"], (-1, 3)).astype(float)
        points[:, :2] += rng.normal(0, 1, (len(points), 2)) * (points[:, 2:] > 0)
        entry["keypoints"] = points.ravel().tolist()
    (folder / "ben.json").write_text(json.dumps(content))
    (data / "images").rename(folder / "pictures")
    shutil.rmtree(data)


def run_checkpoint(path):
    """best.pt and config.yaml of a run of the config that the folder is named after; random weights."""
    config = load_config(find_config(path.parent.name), TINY)
    make_data(config.data.root)
    skeleton = load_skeleton(config.data.skeleton, Path(config.data.root))
    torch.manual_seed(0)
    model = create_model(
        config.model.encoder,
        blocks=config.model.blocks,
        input_size=config.model.input_size,
        num_keypoints=skeleton.num_keypoints,
    )
    torch.nn.init.normal_(model.final_layer.weight, std=1.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, checkpoint_of(model, config, skeleton, {"keypoint": "test"}))
    (path.parent / "config.yaml").write_text(dump_config(config))


def evidence_run(path):
    """last.pt of a run of the sweep field.yaml, its block after layer4 alone; random weights."""
    block = path.parents[1].name
    keys = ["model.encoder_stride=8", f"model.blocks={{layer4: {block}}}"]
    config, skeleton = load_config(find_config("persons_tiny"), keys), load_skeleton("coco17")
    model = create_model(**config.model.arguments(skeleton.num_keypoints))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, checkpoint_of(model, config, skeleton, {"keypoint": "test"}))


def evidence_photo(path):
    """A picture of the size of the set's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((288, 384, 3), 90, np.uint8))


def action_run(path):
    """A network that classifies videos, and those that it is tested on."""
    root = Path("data/action")
    for name in tiny_checkpoint.CLASSES:
        write_numbered(root / "val" / name / "v.avi", 12)
    data = {"root": str(root), "val_list": "val", "workers": 0}
    tiny_checkpoint.checkpoint(path, data=data)


def action_config(path):
    """A config in the page about training on videos, and what it names."""
    page = README.parent / "docs" / "guides" / "action.md"
    name = path.name.removeprefix("my_")
    block = next(b for b in blocks(page.read_text()) if b.text.startswith(f"# {name}"))
    path.write_text(block.text)
    write_set(Path("clips"))


def data_root(name):
    """The folder of the data that a config names."""
    file = find_config(name)
    load = load_action_config if task_of(file) == "action" else load_config
    return str(load(file).data.root)


def tested_run(folder):
    """A folder with the scores of a test; runs of other names are better or worse."""
    folder.mkdir()
    save_scores(folder / SCORES, made.scores(gain=len(folder.name) / 4))


def exported(path, codec="heatmap"):
    """Of a network without blocks, whose export is the fastest."""
    model = tiny_network.model(codec=codec)
    card = ExportCard(
        version="test",
        skeleton=tiny_network.SKELETON,
        input_size=model.input_size,
        input="uint8",
        outputs="keypoints",
        codec=codec,
        decoding=DECODINGS[codec][0],
        flip=False,
        precision="float32",
    )
    export_network(model, card, path)


def cvat(path):
    """An XML file of CVAT, and its images in photos/."""
    shutil.copy(CONVERT / "cvat_skeletons" / "annotations.xml", path)
    shutil.copytree(CONVERT / "cvat_skeletons" / "images", path.with_name("photos"))


def converted(path):
    """What the README's `keypoint convert` writes."""
    labelled = path.parents[1] / "labelled"
    shutil.copytree(CONVERT / "labelme", labelled)
    assert tool("convert", labelled, "--to", "coco", "--output", path.parent, "--overwrite") == 0


def new_labelled(folder):
    """Photos of labelme without their points."""
    shutil.copytree(CONVERT / "labelme", folder)
    for file in folder.glob("pic*.json"):
        content = json.loads(file.read_text())
        content["shapes"] = [s for s in content["shapes"] if s["shape_type"] == "rectangle"]
        file.write_text(json.dumps(content))


def drawn_boxes(path):
    """ids.json or boxes.json that `keypoint convert` writes, and the photos."""
    labelled = path.parents[1] / "new_labelled"
    new_labelled(labelled)
    assert tool("convert", labelled, "--to", "coco", "--output", path.parent, "--overwrite") == 0


def own_network(path):
    """mine.yaml and my_nets.py of the page about networks."""
    page = README.parent / "docs" / "guides" / "networks.md"
    for name in (path.name, "my_nets.py"):
        block = next(b for b in blocks(page.read_text()) if b.text.startswith(f"# {name}"))
        path.with_name(name).write_text(block.text)


def sweep_file(path):
    """The sweep of the page about comparisons."""
    page = README.parent / "docs" / "guides" / "comparing-runs.md"
    path.write_text(
        next(b for b in blocks(page.read_text()) if b.text.startswith(f"# {path.name}")).text
    )


def demo_set(folder):
    write_demo_set(folder, train_images=2, val_images=1)


def sign_set(folder):
    write_sign_set(folder, train_images=2, val_images=1, seed=0)


def echo_set(folder):
    write_echo_set(folder, train_clips=8, val_clips=4)


def kinetics(folder):
    """Videos of 400 classes would be many: the lists name two of them, next to a file of all."""
    names = [f"class {number:03}" for number in range(400)]
    for part in ("train", "val"):
        rows = ["label,youtube_id,time_start,time_end,split"]
        for number in range(4):
            rows.append(f"{names[number % 2]},{part}{number:06},0,10,{part}")
            file = folder / names[number % 2] / f"{part}{number:06}_000000_000010.avi"
            write_numbered(file, 12)
        (folder / f"{part}.csv").write_text("\n".join(rows) + "\n")
    (folder / "classes.txt").write_text("\n".join(names) + "\n")


# Word of a command -> what makes it, given its path. The first that matches the whole word.
def run_to_compare(folder):
    """Numbers and config of a run; without results.json, so a single one gets no interval."""
    blocks = "srl_fft" if "srl" in str(folder) else None
    run(folder, 0.7, int(folder.name[-1]) if "seed" in folder.name else 0, blocks=blocks)


MAKERS = [
    (r"data/coco", coco),
    (r"data/coco_sample", coco_sample),
    (r"output/(demo/data|persons|few)", demo_set),
    (r"output/signs/data", sign_set),
    (r"output/echo/data", echo_set),
    (r"data/kinetics400", kinetics),
    (r"output/(action|c2d_\w+|echo/\w+)/best\.pt", action_run),
    (r"output/(mfnet|c2d_|echo/)\w*", tested_run),
    (r"output/((none|srl_fft)/seed\d|res50_256x192(_srl3)?)", run_to_compare),
    (r"output/evidence/field/\w+/seed\d/last\.pt", evidence_run),
    (r"output/evidence/persons/val2017/\d+\.jpg", evidence_photo),
    (r"((my_)?videos|small)\.yaml", action_config),
    (r"clips", write_set),
    (r"output/(pets|mine)/best\.pt", tiny_network.checkpoint),  # of configs that a command writes or changes
    (r"output/\w+/(best|last)\.pt", run_checkpoint),
    (r"pets/config\.yaml", converted),
    (r"new_labelled", new_labelled),
    (r"new_boxes/(ids|boxes)\.json", drawn_boxes),
    (r"mine\.yaml", own_network),
    (r"persons_blocks\.yaml", sweep_file),
    (r"(\./)?\w+\.pt", tiny_network.checkpoint),
    (r"\w+\.onnx", exported),
    (r"pose_resnet_\w+\.pth(\.tar)?", lambda path: torch.save(pose_resnet.simple_baseline(18), path)),
    (r"pose_hrnet_\w+\.pth", lambda path: torch.save(create_model(network="hrnet_w32", input_size=(64, 64)).state_dict(), path)),
    (r"td-hm_.*\.pth", lambda path: torch.save(pose_resnet.mmpose(pose_resnet.simple_baseline(18), "head"), path)),
    (r"COCO_val2017_detections\w+\.json", lambda path: boxes(path, Path("data/coco/annotations/person_keypoints_val2017.json"))),
    (r"COCO_test-dev2017_detections\w+\.json", lambda path: boxes(path, Path("data/coco/annotations/image_info_test-dev2017.json"))),
    (r"clip\.mp4", lambda path: write_video(path.with_suffix(""), number=2)),
    (r"labelled", lambda path: shutil.copytree(CONVERT / "labelme", path)),
    (r"annotations\.xml", cvat),
    (r"photos", lambda path: picture(path / "a.jpg")),
    (r"(crops|new)/\*\.jpg", lambda path: picture(path.parent / "a.jpg")),
    (r"\w+\.jpg", picture),
    (r"(ids|boxes)\.json", new_images),
    (r"(my|anna|ben)\.json|pictures|(my_skeleton|sign)\.yaml", lambda path: own_data(path.parent)),
]  # fmt: skip


def maker_of(word):
    return next((make for pattern, make in MAKERS if re.fullmatch(pattern, word)), None)


class World:
    """Makes things once a session, below `store`, and puts them into a test's own folder by name."""

    def __init__(self, store: Path):
        self.store = store
        store.mkdir(exist_ok=True)

    def provide(self, words: list[str]) -> None:
        """Into the working folder: all that the words name, but for what is to be written."""
        named = [w for w, before in zip(words, ["", *words], strict=False) if before != "--output"]
        configs = [w for w, before in zip(words, ["", *words], strict=False) if before == "--cfg"]
        for name in configs:
            self.put(name)
        runs = [Path(w) for w in named if maker_of(w) is run_checkpoint]
        configs += [path.parent.name for path in runs if not path.exists()]
        names = [data_root(name) for name in configs]
        names += [w.removeprefix("data.root=") for w in words if w.startswith("data.root=")]
        names += ["data/coco"]  # the place of most: the default of data.root
        if any(word.startswith("data/coco_sample/") for word in named):
            names.append("data/coco_sample")
        for word in [*names, *named]:
            key, equals, value = word.partition("=")
            if key != "output":
                self.put(value if equals else word)

    def put(self, word: str) -> None:
        """One of them."""
        maker = maker_of(word)
        if maker is None or Path(word).exists():
            return
        kept = self.store / re.sub(r"\W", "_", word)
        if not kept.exists():
            before = Path.cwd()
            kept.mkdir()
            os.chdir(kept)
            try:
                Path(word).parent.mkdir(parents=True, exist_ok=True)
                if "detections" in word:
                    coco(Path("data/coco"))
                maker(Path(word))
            finally:
                os.chdir(before)
        shutil.copytree(kept, ".", copy_function=link_or_copy, dirs_exist_ok=True)


def make_data(root: str) -> None:
    """The data set of a config, in the working folder."""
    for pattern, make in MAKERS[:6]:
        if re.fullmatch(pattern, root) and not Path(root).exists():
            make(Path(root))


def link_or_copy(source: str, target: str) -> None:
    """A checkpoint is replaced and never written into, so a link does."""
    if Path(target).exists():
        return
    if source.endswith((".pt", ".pth", ".tar")):
        os.link(source, target)
    else:
        shutil.copy(source, target)


def torch_home(folder: Path) -> None:
    """torchvision's cache of downloads: an encoder and a detector of random weights, under their files' names."""
    cache = folder / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.manual_seed(0)
    models = torchvision.models
    encoder = models.resnet18(weights=None)
    url = models.get_model_weights("resnet18")["IMAGENET1K_V1"].url
    torch.save(encoder.state_dict(), cache / Path(url).name)
    found = models.get_model(DETECTOR, weights=None, weights_backbone=None)
    for name, tensor in found.named_parameters():
        if "box_predictor" in name or "rpn.head" in name:  # else all answers are alike
            torch.nn.init.normal_(tensor, std=0.05)
    url = models.get_model_weights(DETECTOR)["DEFAULT"].url
    torch.save(found.state_dict(), cache / Path(url).name)


def published_weights(folder: Path, monkeypatch) -> None:
    """Every name of the table, downloaded; all are one ResNet-18 of random weights."""
    monkeypatch.setenv("KEYPOINT_HOME", str(folder))
    kept = folder / "network.pth"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(saved()[0])
    digits = sha256_of(kept)[:8]
    rows = [
        replace(row, network="resnet18", path=f"{row.short_name}-{digits}_20200708.pth")
        for row in published()
    ]
    install(monkeypatch, *rows)
    for row in rows:
        place = folder / "weights" / row.file
        place.parent.mkdir(exist_ok=True)
        if not place.exists():
            os.link(kept, place)
