"""The house's rule: imports point downward, and heavy libraries appear only where they are used."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "keypoint"

# The map of the README, lowest first: a room imports rooms of earlier lines, and itself.
ROOMS = (
    ("errors", "strict_yaml"),
    ("files",),
    ("progress", "processes"),
    ("distributed",),
    ("compiled",),
    ("blocks",),
    ("pose",),
    ("models",),
    ("data",),
    ("drawing",),
    ("config",),
    ("checkpoint",),
    ("training",),
    ("evaluation",),
    ("explain",),
    ("export",),
    ("prediction",),
    ("action",),
    ("app",),
    ("commands",),
    ("__main__",),
)
LEVEL = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
MOST_AT_THE_TOP = 8
MOST_IN_A_FOLDER = 13
HEAVY = {
    "cv2",
    "albumentations",
    "pycocotools",
    "tensorboard",
    "wandb",
    "mlflow",
    "torchvision",
    "gradio",
    "huggingface_hub",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "timm",
}
# Modules by name, folders with a dot at the end.
MAY_USE = {
    "cv2": (
        "data.",
        "action.data.",
        "drawing.",
        "prediction.drawing",
        "prediction.inputs.camera",
        "app.picture",
        "evaluation.pictures",
        "action.",
        "commands.",
    ),
    "albumentations": (
        "data.augment",
        "data.pixel_transforms",
    ),
    "pycocotools": (),
    "tensorboard": ("training.loggers.tensorboard",),
    "wandb": ("training.loggers.wandb",),
    "mlflow": ("training.loggers.mlflow",),
    "huggingface_hub": ("checkpoint.hub", "models.weights.timm_files"),
    "onnx": ("export.",),
    "onnxscript": ("export.",),
    "onnxruntime": ("export.",),
    "gradio": ("app.",),
    "timm": ("models.timm_encoder",),
    "torchvision": (
        "models.weights.load",
        "prediction.detector",
        "prediction.persons.hog",
    ),
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
                names = [alias.name for alias in node.names if alias.name != "__version__"]
                yield from (f"keypoint.{name}" for name in names)
            else:
                yield node.module


def room_of(name):
    room = name.split(".")[0]
    assert room in LEVEL, f"keypoint.{room} is no room of the table above; give it a line"
    return room


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_downward(path):
    importer = module_name(path)
    ours = room_of(importer)
    for name in imports(path):
        if not name.startswith("keypoint."):
            continue
        theirs = room_of(name.removeprefix("keypoint."))
        step = f"keypoint.{importer} imports {name}"
        assert ours == theirs or LEVEL[theirs] < LEVEL[ours], step
        if ours == "blocks":
            assert theirs in ("blocks", "compiled"), f"{step}; blocks import torch and compiled/"
        if theirs == "config" and ours in ("evaluation", "explain", "export", "prediction", "app"):
            pytest.fail(f"{step}; classes take plain arguments")


def test_the_top_of_the_package_is_small():
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_AT_THE_TOP


def test_folders_are_small():
    """The commands excepted, which have one file each, and their options."""
    sizes = Counter(path.parent for path in MODULES if path.name != "__init__.py")
    del sizes[PACKAGE / "commands"], sizes[PACKAGE / "commands" / "options"]
    large = {
        str(folder.relative_to(PACKAGE)): n for folder, n in sizes.items() if n > MOST_IN_A_FOLDER
    }
    assert not large


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
    assert not loaded_by("import keypoint.checkpoint.hub") & (HEAVY | {"torch"})


def test_a_command_is_explained_without_torch():
    """Of both tasks, and a mistyped option; OpenCV comes with the names of convert's forms."""
    program = """
import contextlib, io, sys
from keypoint.commands.main import COMMANDS, main
from keypoint.commands.task import BOTH
lines = [[name, "--help"] for name in COMMANDS]
lines += [[name, "--task", "action", "--help"] for name in BOTH]
for words in [*lines, ["predict", "--pictres"], ["train", "--cfg"]]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main(words)
        except SystemExit as ended:
            assert ended.code == (0 if "--help" in words else 2), words
    assert f"keypoint {words[0]}" in said.getvalue(), said.getvalue()
    loaded = HEAVY & set(sys.modules)
    assert not loaded, f"keypoint {' '.join(words)} loads {loaded}"
"""
    heavy = HEAVY - {"cv2"} | {"torch"}
    command = [sys.executable, "-c", program.replace("HEAVY", repr(heavy))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_prediction_loads_what_its_network_needs():
    exported = loaded_by("import keypoint.commands.predict")
    assert not exported & (HEAVY - {"cv2"} | {"torch", "pydantic"})
    create = "from keypoint.models import create_model; create_model('resnet18')"
    hrnet = "create_model(network='hrnet_w32', input_size=(64, 64))"
    trained = loaded_by(f"import keypoint.commands.predict_by_torch; {create}; {hrnet}")
    assert "torch" in trained
    assert not trained & (HEAVY - {"cv2"})


def test_the_web_page_is_loaded_without_gradio():
    assert "gradio" not in loaded_by("import keypoint.app.server")


def test_the_package_itself_loads_nothing():
    assert not loaded_by("import keypoint") & (HEAVY | {"torch", "numpy", "pydantic", "yaml"})


def test_lazy_names():
    import keypoint
    from keypoint.models import create_model

    assert keypoint.create_model is create_model
    assert keypoint.blocks.build_block
    with pytest.raises(AttributeError, match="no attribute 'create_modell'"):
        _ = keypoint.create_modell
