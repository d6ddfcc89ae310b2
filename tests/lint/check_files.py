#!/usr/bin/env python3
"""Checks what every file must keep to: length, guards, no paths of one machine, no unfinished notes, a README per room,
links that lead somewhere."""

import re

import sources

MAX_LINES = 400
MAX_CMAKELISTS_LINES = 100
MACHINE_PATH = re.compile(r"(?<![\w.}])/(home|root|work|Users)/\w")
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b")
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
# Examples in prose name folders that a reader would have.
PROSE = (".md", ".yaml", ".yml")


def length_problems(path, lines):
    limit = MAX_CMAKELISTS_LINES if path.name == "CMakeLists.txt" else MAX_LINES
    if path.suffix not in (".md", ".json", ".txt", "") or path.name == "CMakeLists.txt":
        if len(lines) > limit:
            yield f"{path}: {len(lines)} lines, more than {limit}: split it by purpose"


def line_problems(path, lines):
    for number, line in enumerate(lines, 1):
        if UNFINISHED.search(line):
            yield f"{path}:{number}: unfinished note: finish it, or write an issue"
        if path.suffix not in PROSE and MACHINE_PATH.search(line):
            yield f"{path}:{number}: path of one machine: {line.strip()[:80]}"
        if line.rstrip() != line and path.suffix != ".md":
            yield f"{path}:{number}: blanks at the end of the line"


def link_problems(path, text):
    for target in LINK.findall(text):
        if not ((sources.ROOT / path).parent / target).exists():
            yield f"{path}: link to '{target}', which does not exist"


def main():
    checked = [path for path in sources.files() if path.name not in ("LICENSE", ".git") and path.suffix not in (".png", ".jpg", ".safetensors", ".bin", ".gz", ".h5")]
    problems = []
    for path in checked:
        text = sources.read(path)
        lines = text.splitlines()
        problems += length_problems(path, lines)
        problems += line_problems(path, lines)
        if path.suffix == ".h" and "#pragma once" not in text and path.parts[0] != "cmake":
            problems.append(f"{path}: no #pragma once")
        if path.suffix == ".md":
            problems += link_problems(path, text)
    for room in sources.ROOMS + ("tests",):
        if not (sources.ROOT / room / "README.md").is_file():
            problems.append(f"{room}/README.md is missing: every room says what is in it")
    sources.finish("files", problems, len(checked))


if __name__ == "__main__":
    main()
