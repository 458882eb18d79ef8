"""`pip install -e .` makes the package importable from anywhere, beside the clone too."""

import shutil
import subprocess
import sys
import zipfile

from tests.test_readme import REPOSITORY

BUILD = "import sys; from setuptools.build_meta import build_editable; build_editable(sys.argv[1])"


def test_a_script_beside_the_clone_finds_the_package(tmp_path):
    clone, site = tmp_path / "keypoint", tmp_path / "site"
    clone.mkdir()
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, clone)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "keypoint", clone / "keypoint", ignore=ignored)
    built = subprocess.run(
        [sys.executable, "-c", BUILD, str(tmp_path)], cwd=clone, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (tmp_path / "script.py").write_text(
        f"import site\nsite.addsitedir({str(site)!r})\nimport keypoint\nprint(keypoint.__file__)\n"
    )
    # -I: the tests' own copy is not on the path; the script's folder has to be put there then.
    begin = f"import sys, runpy; sys.path.insert(0, {str(tmp_path)!r}); runpy.run_path('script.py')"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", begin], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(clone / "keypoint" / "__init__.py"), done.stderr
