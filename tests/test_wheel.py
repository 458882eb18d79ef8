"""What `pip install keypoint` gives: the wheel in a clean environment, called from another folder."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from keypoint.data.synthetic.demo_set import write_demo_set
from tests.calling import REPOSITORY

SMALL = ["model.encoder=resnet18", "model.input_size=[64,64]", "model.weights=none", "train.epochs=1", "train.batch_size=2", "data.workers=0"]  # fmt: skip
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """An environment with the wheel; all other packages are seen through the tests' environment."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = build_wheel(folder)
    venv.create(folder / "clean", with_pip=False)
    python = folder / "clean" / "bin" / "python"
    install = ["--python", python, "install", "--no-deps", "--no-index", wheel]
    subprocess.run([*PIP, *install], check=True)
    # A line of a .pth file adds the folder, and not the editable install that another .pth of it names.
    [site] = (folder / "clean").glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "clean" / "bin"


def build_wheel(folder, **environment):
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder]
    project = copy_of_the_project(folder / "project")
    subprocess.run([*PIP, *build, project], check=True, env=os.environ | environment)
    [wheel] = folder.glob("keypoint-*.whl")
    return wheel


def copy_of_the_project(folder):
    """Without what a build would leave in the clone."""
    folder.mkdir()
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "keypoint", "configs"):  # fmt: skip
        (folder / name).symlink_to(REPOSITORY / name)
    return folder


def run(folder, *words):
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    called = [str(word) for word in words]
    done = subprocess.run(called, cwd=folder, env=environment, capture_output=True, text=True, timeout=250)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_package_of_the_wheel_is_used(clean, tmp_path):
    place = run(tmp_path, clean / "python", "-c", "import keypoint; print(keypoint.__file__)")
    assert Path(place.strip()).is_relative_to(clean.parent)
    assert run(tmp_path, clean / "keypoint", "--help").startswith("usage: keypoint COMMAND")
    assert "\nmmpose/res50_256x192 " in run(tmp_path, clean / "keypoint", "weights")


def test_the_compiled_block_is_in_it_for_every_python(clean, tmp_path):
    [wheel] = clean.parent.parent.glob("keypoint-*.whl")
    assert "-py3-none-" in wheel.name
    if shutil.which("g++") or shutil.which("clang++") or os.environ.get("REQUIRE_COMPILED"):
        program = "from keypoint.compiled.libraries import state; print(state())"
        assert run(tmp_path, clean / "python", "-c", program).startswith("on, ")


def test_without_a_compiler_it_is_built_without(tmp_path):
    wheel = build_wheel(tmp_path, CC="/bin/false", CXX="/bin/false")
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
