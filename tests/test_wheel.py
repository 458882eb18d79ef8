"""What `pip install keypoint` gives: the wheel, built from the sdist, in a clean environment, called from another folder."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import keypoint
from keypoint.data.synthetic.demo_set import write_demo_set
from tests.calling import REPOSITORY
from tests.readme.documents import links

SMALL = ["model.encoder=resnet18", "model.input_size=[64,64]", "model.weights=none", "train.epochs=1", "train.batch_size=2", "data.workers=0"]  # fmt: skip
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
# With the clone's folder in PYTHONPATH, pip would take the clone for the installed package.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
BUILD_SDIST = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    project = copy_of_the_project(folder / "project")
    build = [sys.executable, "-c", BUILD_SDIST, folder]
    subprocess.run(build, cwd=project, check=True, capture_output=True)
    [archive] = folder.glob("keypoint-*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def clean(sdist, tmp_path_factory):
    """An environment with the wheel; all other packages are seen through the tests' environment."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = build_wheel(sdist, folder)
    venv.create(folder / "clean", with_pip=False)
    python = folder / "clean" / "bin" / "python"
    install = ["--python", python, "install", "--no-deps", "--no-index", wheel]
    subprocess.run([*PIP, *install], check=True, env=ENVIRONMENT)
    # A line of a .pth file adds the folder, and not the editable install that another .pth of it names.
    [site] = (folder / "clean").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "clean" / "bin"


def build_wheel(sdist, folder, **environment):
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder]
    subprocess.run([*PIP, *build, sdist], check=True, env=ENVIRONMENT | environment)
    [wheel] = folder.glob("keypoint-*.whl")
    return wheel


def copy_of_the_project(folder):
    """With what a build reads, and the compiled code of the clone, which it must not take."""
    folder.mkdir()
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "CHANGELOG.md"):  # fmt: skip
        shutil.copy(REPOSITORY / name, folder)
    for name in ("keypoint", "configs", "docs"):
        shutil.copytree(
            REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    return folder


def run(folder, *words):
    environment = ENVIRONMENT | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    called = [str(word) for word in words]
    done = subprocess.run(called, cwd=folder, env=environment, capture_output=True, text=True, timeout=250)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_package_of_the_wheel_is_used(clean, tmp_path):
    place = run(tmp_path, clean / "python", "-c", "import keypoint; print(keypoint.__file__)")
    assert Path(place.strip()).is_relative_to(clean.parent)
    assert run(tmp_path, clean / "keypoint", "--help").startswith("usage: keypoint COMMAND")
    assert "\nmmpose/res50_256x192 " in run(tmp_path, clean / "keypoint", "weights")


def test_the_version_is_the_same_everywhere(clean, tmp_path):
    program = "from importlib.metadata import version; print(version('keypoint'))"
    assert run(tmp_path, clean / "python", "-c", program) == f"{keypoint.__version__}\n"
    assert run(tmp_path, clean / "keypoint", "--version") == f"keypoint {keypoint.__version__}\n"
    changes = (REPOSITORY / "CHANGELOG.md").read_text()
    newest = re.search(r"^## \[(\d.*)\] - \d{4}-\d\d-\d\d$", changes, re.M)
    assert newest[1] == keypoint.__version__


def test_the_description_has_no_links_to_files(clean):
    """PyPI shows it without the repository's files."""
    [wheel] = clean.parent.parent.glob("keypoint-*.whl")
    archive = zipfile.ZipFile(wheel)
    [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = message_from_bytes(archive.read(name))
    assert metadata["Description-Content-Type"] == "text/markdown"
    text = metadata.get_payload()
    assert text.startswith("# keypoint\n")
    assert [target for target in links(text) if not target.startswith("https://")] == []


def test_the_sdist_has_the_sources_and_nothing_that_was_built(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    sources = (REPOSITORY / "keypoint" / "compiled" / "cpp").iterdir()
    assert {f"keypoint/compiled/cpp/{source.name}" for source in sources} <= names
    assert {"CHANGELOG.md", "LICENSE", "README.md", "configs/demo.yaml"} <= names
    assert not [name for name in names if name.endswith((".so", ".pyc"))]


def test_the_compiled_block_is_in_it_for_every_python(clean, tmp_path):
    [wheel] = clean.parent.parent.glob("keypoint-*.whl")
    assert "-py3-none-" in wheel.name
    if shutil.which("g++") or shutil.which("clang++") or os.environ.get("REQUIRE_COMPILED"):
        program = "from keypoint.compiled.libraries import state; print(state())"
        assert run(tmp_path, clean / "python", "-c", program).startswith("on, ")


def test_without_a_compiler_it_is_built_without(sdist, tmp_path):
    wheel = build_wheel(sdist, tmp_path, CC="/bin/false", CXX="/bin/false")
    names = zipfile.ZipFile(wheel).namelist()
    assert "keypoint/compiled/libraries.py" in names
    assert not [name for name in names if name.endswith(".so")]


def test_configs_and_skeletons_are_found(clean, tmp_path):
    """By the console script; that a training and a test run is the demo's."""
    write_demo_set(tmp_path / "data", train_images=3, val_images=1, image_size=(96, 128), seed=1)
    keys = ["data.root=data", "data.skeleton=coco17", "output=run", *SMALL]
    run(tmp_path, clean / "keypoint", "check-data", "--cfg", "res50_256x192_srl3.yaml", *keys)
    report = json.loads((tmp_path / "run" / "data_report.json").read_text())
    assert report["check"]["train"]["used"] > 0


def test_the_page_finds_its_script(clean, tmp_path):
    program = "from keypoint.app.draw_boxes import DRAW; print(len(DRAW))"
    script = REPOSITORY / "keypoint" / "app" / "draw_boxes.js"
    assert int(run(tmp_path, clean / "python", "-c", program)) == len(script.read_text())


def test_every_config_is_there(clean, tmp_path):
    program = "from keypoint.config.load import CONFIG_FOLDER as f; print(len(list(f.rglob('*.yaml'))), f)"
    count, folder = run(tmp_path, clean / "python", "-c", program).split()
    assert int(count) == len(list((REPOSITORY / "configs").rglob("*.yaml")))
    assert Path(folder).is_relative_to(clean.parent)


def test_the_demo_runs(clean, tmp_path):
    """With a few images instead of 950."""
    program = f"""
from keypoint.commands import cli, demo
demo.TRAIN_IMAGES, demo.VAL_IMAGES = 3, 1
raise SystemExit(cli.run(demo.main, {SMALL}))"""
    run(tmp_path, clean / "python", "-c", program)
    assert (tmp_path / "output/demo/predictions.jpg").is_file()
