"""The house's rule: imports point downward, and heavy libraries appear only where they are used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "keypoint"

# The table of the README's map, lowest first. Groups of level 0 do not know each other.
GROUPS = {
    "errors": ("errors", "strict_yaml"),
    "blocks": ("blocks",),
    "points": ("skeleton", "geometry", "heatmap", "flip_average", "dark", "codec"),
    "config": (
        "config",
        "config_effect",
        "config_schema",
        "config_train",
        "config_fields",
        "recipe",
    ),
    "level 1": (
        "models",
        "losses",
        "optimization",
        "fingerprint",
        "checkpoint_content",
        "lettering",
        "strokes",
    ),
    "level 2": (
        "data",
        "inference",
        "checkpoint",
        "distributed",
        "video",
        "camera",
        "visualize",
        "curves",
        "hub",
        "run_log",
        "stop_signal",
        "evaluation.oks",
    ),
    "level 3": (
        "trainer",
        "training_step",
        "resume",
        "run_folder",
        "predictor",
        "person_crops",
        "onnx_predictor",
        "export",
        "detector",
        "prediction",
        "evaluation",
        "complexity",
        "model_card",
        "cli",
        "sheets",
        "app",
        "app_server",
    ),
}
LEVEL = {
    "errors": -1,
    "blocks": 0,
    "points": 0,
    "config": 0,
    "level 1": 1,
    "level 2": 2,
    "level 3": 3,
}
HEAVY = {
    "cv2",
    "albumentations",
    "pycocotools",
    "faster_coco_eval",
    "tensorboard",
    "torchvision",
    "gradio",
    "huggingface_hub",
    "onnx",
    "onnxscript",
    "onnxruntime",
}
MAY_USE = {
    "cv2": (
        "data.",
        "video",
        "visualize",
        "lettering",
        "strokes",
        "curves",
        "sheets",
        "prediction.drawing",
        "prediction.picture",
        "camera",
        "evaluation.worst",
    ),
    "albumentations": ("data.augment",),
    "pycocotools": ("evaluation.coco",),
    "faster_coco_eval": ("evaluation.coco",),
    "tensorboard": ("run_log",),
    "huggingface_hub": ("hub",),
    "onnx": ("export.",),
    "onnxscript": ("export.",),
    "onnxruntime": ("export.", "onnx_predictor"),
    "gradio": ("app", "app_server"),
    "torchvision": ("models.encoder", "models.weights", "detector"),
}
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = [file for file in FILES if file != PACKAGE / "__init__.py"]


def module_name(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def imports(path):
    """Names of the modules imported outside TYPE_CHECKING."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            for child in node.body:
                child.skipped = True
    for node in ast.walk(tree):
        if getattr(node, "skipped", False):
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "keypoint":
                yield from (f"keypoint.{alias.name}" for alias in node.names)
            else:
                yield node.module


def group_of(name):
    found = [
        (len(prefix), group)
        for group, prefixes in GROUPS.items()
        for prefix in prefixes
        if name == prefix or name.startswith(f"{prefix}.")
    ]
    assert found, f"keypoint.{name} has no place in the table above; give it one"
    return max(found)[1]


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_downward(path):
    importer = module_name(path)
    for name in imports(path):
        if not name.startswith("keypoint."):
            continue
        imported = name.removeprefix("keypoint.")
        ours, theirs = group_of(importer), group_of(imported)
        inside = ours == theirs and (ours != "level 2" or same_room(importer, imported))
        below = LEVEL[theirs] < LEVEL[ours]
        step = f"keypoint.{importer} ({ours}) imports keypoint.{imported} ({theirs})"
        assert inside or below, step
        if theirs == "config" and ours != "config":
            assert importer in ("checkpoint", "resume", "model_card"), (
                f"{step}; classes take plain arguments"
            )
        if ours == "blocks":
            assert theirs == "blocks", "blocks import torch and nothing of ours"


def same_room(importer, imported):
    """Level 2 is many rooms: files of data/ may import each other, others only what is below."""
    return importer.split(".")[0] == imported.split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_heavy_libraries_appear_where_they_are_used(path):
    importer = module_name(path)
    for name in imports(path):
        library = name.removeprefix("torch.utils.").split(".")[0]
        if library in HEAVY:
            folders = tuple(place for place in MAY_USE[library] if place.endswith("."))
            allowed = importer in MAY_USE[library] or importer.startswith(folders)
            assert allowed, f"keypoint.{importer} imports {library}"


def loaded_by(statement):
    program = f"import sys; {statement}; print(*{{m.split('.')[0] for m in sys.modules}})"
    command = [sys.executable, "-c", program]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


def test_blocks_load_torch_and_nothing_heavy():
    loaded = loaded_by("import keypoint.blocks")
    assert "torch" in loaded
    assert not loaded & (HEAVY | {"pydantic", "yaml"})


def test_the_hubs_client_loads_only_when_it_is_asked():
    """albumentations loads it too where it is installed, so the predictor says nothing here."""
    assert not loaded_by("import keypoint.hub") & (HEAVY | {"torch"})


def test_the_web_page_is_loaded_without_gradio():
    assert "gradio" not in loaded_by("import keypoint.app_server")


def test_the_package_itself_loads_nothing():
    assert not loaded_by("import keypoint") & (HEAVY | {"torch", "numpy", "pydantic", "yaml"})


def test_lazy_names():
    import keypoint
    from keypoint.models import create_model

    assert keypoint.create_model is create_model
    assert keypoint.blocks.build_block
    with pytest.raises(AttributeError, match="no attribute 'create_modell'"):
        _ = keypoint.create_modell
