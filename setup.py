"""All metadata is in setup.cfg; this file adds the configs to what is built."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Copies configs/ into the package, where `keypoint train --cfg NAME` looks for them."""

    def run(self):
        super().run()
        if not self.editable_mode:  # a clone has them beside the package
            target = Path(self.build_lib, "keypoint", "configs")
            shutil.copytree("configs", target, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithConfigs})
