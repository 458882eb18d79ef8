#!/usr/bin/env python
"""Count the words of this project that a native speaker would not use."""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
# What is counted, and what to write instead.
INSTEAD = {
    r"in (?:its|their|the) place of|in place of": "instead of",
    r"beside(?!s)": "next to, with, as well as",
    r"where (?:there|it|they|a|an|no|none|nothing|that|this|one|the|all|any)": "if, when",
    r"is told|are told|was told|tells|told": "is reported, reports, says, contains",
    r"mend(?:s|ed|ing)?": "fix",
    r"go(?:es|ne)? on|going on": "continues, resumes",
    r"eats?": "expects, takes",
    r"nobody|somebody|everybody|no one": "no person, a user, all persons",
    r"one's own|of one's": "your own",
    r"begin(?:s|ning)? anew|anew": "starts over, again",
    r"leads? outside|leads? (?:somewhere|nowhere)": "points outside",
    r"that (?:is|are) none|is no [a-z]+ (?:file|section|checkpoint|folder)": "is not a ...",
    r"there too|as well there": "too",
    r"looked upon|thereby|therein|whereby|hereby|hitherto": "simpler words",
    r"what is (?:to be|more)": "simpler words",
    r"of its own accord|by itself": "automatically, alone",
    r"(?:comes|came) of it": "the result, what happens",
    r"stands? (?:in|there|below|above|beside)": "is in, is listed in",
    r"behind (?:each|every|the|a) (?:deconv\w*|layer|module|block|convolution|submodule)": "after",
    r"spares? |spared": "leaves out, excludes",
    r"(?:lay|lies|lie) (?:in|below|under|beside)": "is in",
    r"twice as much as the one|the one that|the ones that": "simpler words",
    r"own ones|own data set": "your own",
    r"as good as|for good": "almost, permanently",
    r"gets? its name|has its name": "is complete, is renamed",
    r"unasked|by hand": "without being asked, manually",
}
# First words of a docstring that should be the verb or the noun.
FIRST_WORDS = re.compile(r"(What|Whose|Where|Which|How) ")
SEE_THERE = re.compile(r"See there\.|: The same\.|: As (?:for|in) `")


def main(argv: Sequence[str]) -> None:
    """Parse, count, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, help="files or folders; default: all")
    parser.add_argument("--show", action="store_true", help="print each place")
    args = parser.parse_args(argv)
    places = [place for file in files(args.paths) for place in find(file)]
    if args.show:
        for file, line, said, instead in places:
            print(f"{file}:{line}: {said!r}: {instead}")
    for kind, count in Counter(place[3] for place in places).most_common():
        print(f"{count:5d}  {kind}")
    print(f"{len(places):5d}  in all")


def files(paths: Sequence[Path]) -> Iterator[Path]:
    """Texts below the paths, or of the whole project."""
    names = (
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs",
        "keypoint",
        "configs",
        "tools",
        "tests",
    )
    for path in paths or [REPOSITORY / name for name in names]:
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.suffix in (".md", ".py", ".yaml", ".hpp", ".cpp") and not file.samefile(
                __file__
            ):
                yield file


def find(file: Path) -> Iterator[tuple[Path, int, str, str]]:
    """File, line, words found and what to write instead."""
    text = file.read_text()
    lines = english(text) if file.suffix == ".py" else enumerate(text.splitlines(), 1)
    for number, line in lines:
        for pattern, instead in INSTEAD.items():
            for found in re.finditer(rf"(?<![.\w])(?:{pattern})\b", line, re.I):
                yield file, number, found[0], instead
        if found := SEE_THERE.search(line):
            yield file, number, found[0], "say it"
    if file.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                said = ast.get_docstring(node)
                if said and FIRST_WORDS.match(said):
                    line = getattr(node, "lineno", 1)
                    yield (
                        file,
                        line,
                        said.split()[0],
                        "a docstring begins with the verb or the noun",
                    )


def english(text: str) -> Iterator[tuple[int, str]]:
    """Lines of comments and strings of Python code."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kinds = [tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", None)]
        if token.type in kinds:
            for offset, line in enumerate(token.string.splitlines()):
                yield token.start[0] + offset, line


if __name__ == "__main__":
    main(sys.argv[1:])
