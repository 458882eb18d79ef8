"""What the package and its commands may not do, read from their source.

ruff's S rules (pyproject.toml) say much of it as well; this holds where ruff is not installed, and
where somebody has silenced it.
"""

import ast
import re

import pytest

from tests.test_readme import REPOSITORY

FILES = sorted(
    [*(REPOSITORY / "keypoint").rglob("*.py"), *(REPOSITORY / "tools").rglob("*.py")]
) + [REPOSITORY / "setup.py"]
# Full names of what is called, and why not.
REFUSED = {
    "eval": "runs code",
    "exec": "runs code",
    "compile": "makes code",
    "__import__": "runs code by name",
    "os.system": "a shell",
    "os.popen": "a shell",
    "subprocess.getoutput": "a shell",
    "subprocess.getstatusoutput": "a shell",
    "tempfile.mktemp": "another process may take the name",
    "pickle.load": "runs code",
    "pickle.loads": "runs code",
    "marshal.loads": "runs code",
    "shelve.open": "unpickles",
    "joblib.load": "unpickles",
    "pandas.read_pickle": "unpickles",
    "yaml.load": "may run code, and keeps the last of two equal keys",
    "yaml.safe_load": "keeps the last of two equal keys: keypoint.strict_yaml",
    "yaml.full_load": "as safe_load",
    "yaml.unsafe_load": "runs code",
    "torch.hub.load": "runs code of the network",
    "torch.jit.load": "runs code",
}
DECODERS = re.compile(r"torchvision\.io(\.|$)|torchvision\..*decode")
# What is called nevertheless, on a file that the same command has just written.
ALLOWED = {("keypoint/export/check.py", "torch.jit.load")}


def full_names(tree):
    """From a name used in the file to what it was imported as."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def dotted(node, names):
    """`np.load` as "numpy.load"; empty for what is no plain name."""
    if isinstance(node, ast.Attribute):
        before = dotted(node.value, names)
        return f"{before}.{node.attr}" if before else ""
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else ""


def is_constant(call, keyword, value):
    return any(
        k.arg == keyword and isinstance(k.value, ast.Constant) and k.value.value is value
        for k in call.keywords
    )


def offences(text, path=""):
    """What a source does that it may not."""
    tree = ast.parse(text)
    names = full_names(tree)
    found = [
        (node.lineno, f"{name}: the one decoder is keypoint/data/images/read.py")
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
        for name in [f"{getattr(node, 'module', None) or ''}.{alias.name}".lstrip(".")]
        if DECODERS.search(name)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and DECODERS.search(dotted(node, names)):
            found.append((node.lineno, f"{dotted(node, names)}: ends the process on a damaged PNG"))
        of_pickle = isinstance(node, ast.Attribute) and dotted(node, names).startswith("pickle.")
        if of_pickle and dotted(node, names) != "pickle.UnpicklingError":
            found.append((node.lineno, f"{dotted(node, names)}: runs code"))
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func, names)
        if name in REFUSED and (path, name) not in ALLOWED:
            found.append((node.lineno, f"{name}: {REFUSED[name]}"))
        if name == "torch.load" and not is_constant(node, "weights_only", True):
            found.append((node.lineno, "torch.load without weights_only=True"))
        if name.startswith("subprocess.") and any(
            k.arg == "shell" and not is_constant(node, "shell", False) for k in node.keywords
        ):
            found.append((node.lineno, "shell=True"))
        if any(k.arg == "allow_pickle" for k in node.keywords) and not is_constant(
            node, "allow_pickle", False
        ):
            found.append((node.lineno, "allow_pickle"))
        if name == "torch.hub.load_state_dict_from_url" and not (
            is_constant(node, "weights_only", True) and is_constant(node, "check_hash", True)
        ):
            found.append((node.lineno, f"{name} without weights_only=True and check_hash=True"))
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_nothing_of_it_is_in_the_source(file):
    path = file.relative_to(REPOSITORY).as_posix()
    assert offences(file.read_text(), path) == []


@pytest.mark.parametrize(
    "text",
    [
        "eval('1')",
        "exec('x = 1')",
        "import os\nos.system('ls')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import subprocess as s\ns.Popen('ls', shell=flag)",
        "from tempfile import mktemp\nmktemp()",
        "import pickle\npickle.load(file)",
        "import pickle as p\np.Unpickler(file).load()",
        "from pickle import loads\nloads(b'')",
        "import yaml\nyaml.load(text, Loader=yaml.SafeLoader)",
        "import yaml\nyaml.safe_load(text)",
        "import torch\ntorch.load(path)",
        "import torch\ntorch.load(path, weights_only=False)",
        "import torch\ntorch.load(path, weights_only=flag)",
        "import numpy as np\nnp.load(path, allow_pickle=True)",
        "import torchvision.io",
        "from torchvision.io import read_image",
        "from torchvision import io\nio.read_image(path)",
        "import torchvision\ntorchvision.io.read_image(path)",
        "import torch\ntorch.hub.load('somebody/repository', 'model')",
        "import torch\ntorch.hub.load_state_dict_from_url(url)",
    ],
)
def test_the_reader_of_sources_sees_it(text):
    assert offences(text)


def test_harmless_neighbours_are_let_through():
    text = "import torch, subprocess\nmodel.eval()\nsubprocess.run(['ls'])\n"
    assert offences(text + "torch.load(path, weights_only=True)\n") == []


def test_ruff_looks_too_and_is_silenced_only_with_a_reason():
    """Wherever S rules are off there is a comment: in the line, after the code, or above."""
    lines = (REPOSITORY / "pyproject.toml").read_text().splitlines()  # Python 3.10 has no tomllib
    assert any(line.startswith("select") and '"S"' in line for line in lines)
    folders = [line for line in lines if line.startswith('"keypoint')]
    assert folders == ['"keypoint/commands/**" = [']  # where T201 is off and no S rule:
    rules = lines[lines.index(folders[0]) + 1 : lines.index("]", lines.index(folders[0]))]
    assert all(re.match(r' *"T201", #', line) for line in rules)
    off = [line for line in lines if re.search(r'"S\d+"', line)]
    assert len(off) == 7
    for line in off:
        assert re.search(r'^ *"S\d+", # .{10,}', line), f"{line}: one code a line, and its reason"
    for file in FILES:
        text = file.read_text().splitlines()
        for number, line in enumerate(text):
            if re.search(r"noqa:.*\bS\d", line):
                told = re.search(r"S\d+ \(.{10,}\)", line) or any(
                    before.strip().startswith("#") for before in text[max(0, number - 3) : number]
                )
                assert told, f"{file}:{number + 1} silences ruff without a reason"
