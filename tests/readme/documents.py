"""The README and the pages in docs/, read: code blocks, command lines, headings and links."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[2]
README = REPOSITORY / "README.md"
DOCS = REPOSITORY / "docs"
DOCUMENTS = sorted(DOCS.rglob("*.md"))
# Pages and folders whose commands are not run from their text, each with its reason. All others are run.
NOT_RUN = {
    "benchmarks": "records the commands of finished measurements",
    "reference/results.md": "a command a row, all of one form; tests/config/test_configs.py loads their configs",
    "reference/action-networks.md": "a command a row; tests/config/test_action_configs.py builds their networks",
    "explanation/reliability.md": "records commands that ran for hours; CONTRIBUTING.md has its make targets",
    "guides/many-gpus.md": "many nodes and Slurm; tests/end_to_end/test_processes.py runs its processes",
    "reference/errors.md": "a list of messages, checked by tests/test_errors_doc.py",
}


def is_run(page: Path) -> bool:
    """Whether the commands of a page in docs/ are run by the tests."""
    return not any(page.is_relative_to(DOCS / name) for name in NOT_RUN)


PAGES = [README, *filter(is_run, DOCUMENTS)]
CONTRIBUTING = REPOSITORY / "CONTRIBUTING.md"
ALL_PAGES = [README, CONTRIBUTING, *DOCUMENTS]
PROGRAMS = r"(?:tools/[\w/]+\.py|keypoint [a-z-]+|make|torchrun|pip|tensorboard|python|jupyter)"


class Block(NamedTuple):
    language: str
    text: str


class Command(NamedTuple):
    page: str
    text: str

    def words(self, folder: Path) -> list[str]:
        """As a shell in the folder would pass them: quotes gone, comment left out, `*` outside quotes replaced."""
        assert not re.search(r"[|&;<>$`]", self.text), f"{self.text}: plain commands only"
        bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", self.text).split()
        words = []
        for word in shlex.split(self.text, comments=True):
            found = sorted(folder.glob(word)) if "*" in word and word in bare else []
            words += [str(path.relative_to(folder)) for path in found] or [word]
        return words


def blocks(text: str) -> list[Block]:
    """All fenced code blocks."""
    return [Block(*found) for found in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)]


def lines_of(text: str) -> list[str]:
    """Every line of the `sh` blocks."""
    found = []
    for block in blocks(text):
        if block.language == "sh":
            joined = re.sub(r"\\\n *", "", block.text)
            found += [line for line in joined.splitlines() if line.strip()]
    return found


def commands_of(text: str) -> list[str]:
    """Every line of the `sh` blocks, and every command with arguments that stands in a sentence."""
    found = lines_of(text)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    found += [" ".join(span.split()) for span in re.findall(rf"`({PROGRAMS}\s[^`]*)`", prose)]
    return found


def all_commands() -> list[Command]:
    """Of all pages, each once; of CONTRIBUTING.md, whose sentences have those of a release, the blocks."""
    found = {}
    for page in (*PAGES, CONTRIBUTING):
        read = lines_of if page == CONTRIBUTING else commands_of
        for text in read(page.read_text()):
            plain = " ".join(re.sub(r"\s#.*", "", text).split())
            found.setdefault(plain, Command(page.name, plain))
    return list(found.values())


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings: lower case, blanks to dashes, other signs gone."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    names = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-") for name in names}


def links(text: str) -> list[str]:
    """Targets of all links and pictures."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return re.findall(r"\]\(([^)\s]+)\)", text)
