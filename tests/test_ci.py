"""`.ci/run`: a browser and a compiler are there or get installed, or it fails and says so; then `make check` and
`make docs`."""

import subprocess

import pytest

from tests.conftest import REPOSITORY

FOUND = "#!/bin/sh\n"
MAKE = '#!/bin/sh\necho "make $* $REQUIRE_BROWSER $REQUIRE_COMPILED"\n'
INSTALLS = '#!/bin/sh\necho "apt-get $*"\n'
CANNOT = '#!/bin/sh\necho "apt-get $*"; exit 100\n'
CHECKED = "make check 1 1\nmake docs 1 1\n"


def ci(folder, **programs):
    """Run it on a machine that has these programs, and those of a bare system."""
    for name, script in programs.items():
        file = folder / name.replace("_", "-")
        file.write_text(script.format(folder))
        file.chmod(0o755)
    for name in ("bash", "sh", "dirname", "id", "env", "chmod"):
        found = subprocess.run(["/usr/bin/which", name], capture_output=True, text=True, check=True)
        (folder / name).symlink_to(found.stdout.strip())
    return subprocess.run(
        [folder / "bash", REPOSITORY / ".ci" / "run"],
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
@pytest.mark.parametrize("browser", ["chromium", "google_chrome"])
def test_what_is_there_is_taken(tmp_path, browser, compiler):
    ran = ci(tmp_path, make=MAKE, apt_get=CANNOT, **{browser: FOUND, compiler: FOUND})
    assert (ran.returncode, ran.stdout) == (0, CHECKED)


@pytest.mark.parametrize(
    ("there", "installed"),
    [([], "chromium g++"), (["chromium"], "g++"), (["clang++"], "chromium")],
)
def test_what_is_missing_is_installed(tmp_path, there, installed):
    sudo = '#!/bin/sh\nshift\nexec "$@"\n'
    ran = ci(tmp_path, make=MAKE, apt_get=INSTALLS, sudo=sudo, **dict.fromkeys(there, FOUND))
    assert ran.returncode == 0, ran.stderr
    assert f"install -y --no-install-recommends {installed}\n" in ran.stdout
    assert ran.stdout.endswith(CHECKED)


@pytest.mark.parametrize("programs", [{}, {"apt_get": CANNOT}])
def test_without_apt_get_it_fails_and_says_why(tmp_path, programs):
    ran = ci(tmp_path, make=MAKE, **programs)
    assert ran.returncode == 1
    assert "apt-get cannot install chromium g++ here" in ran.stderr.splitlines()[-1]
    assert "make check" not in ran.stdout
