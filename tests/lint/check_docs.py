#!/usr/bin/env python3
"""Checks that the generated pages of docs/ are what the program generates, that the help of both front doors works, and that
every command of the guides is run by a test.

    tests/lint/check_docs.py PATH_OF_BALEEN
"""

import difflib
import subprocess
import sys

import sources

sys.path.insert(0, str(sources.ROOT / "tests/support"))
import guides  # noqa: E402

PAGES = {"docs/configuration.md": ["docs", "configuration"]}
# Guides, and the test that runs their blocks: all of them, or those that it asks for by their names.
GUIDES = {"sweeps.md": "tests/end_to_end/sweeps.py", "competition.md": "tests/end_to_end/competition.py"}
GUIDES_BY_NAME = {"cluster.md": "tests/cluster", "resume.md": "tests/cluster"}
SCRIPTS = ["tests/run.sh", "launch/quickstart.sh", "launch/install.sh"]


def page_problems(program, path, arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    if done.returncode:
        yield f"{path}: baleen {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}"
        return
    written = sources.read(path) if (sources.ROOT / path).is_file() else ""
    if written != done.stdout:
        changes = list(difflib.unified_diff(written.splitlines(), done.stdout.splitlines(), path, "generated", lineterm="", n=0))
        yield f"{path} is not current. Make it again: baleen {' '.join(arguments)} > {path}\n" + "\n".join(changes[:20])


def guide_problems():
    """Blocks of commands that no test runs."""
    for guide, test in GUIDES.items():
        if f'"{guide}"' not in sources.read(test):
            yield f"docs/{guide}: {test} does not run it"
    for guide, folder in GUIDES_BY_NAME.items():
        tests = "".join(file.read_text() for file in sorted((sources.ROOT / folder).glob("*.py")))
        for block in guides.blocks(guide, sources.ROOT / "docs"):
            if block.language in ("", "sh") and f'commands_in(GUIDE, "{block.name}")' not in tests:
                yield f"docs/{guide}: no test runs the block '{block.commands()[0]}'"


def help_problems(script):
    done = subprocess.run([sources.ROOT / script, "--help"], capture_output=True, text=True)
    if done.returncode or not done.stdout.startswith("Usage:"):
        yield f"{script} --help ended with {done.returncode} and printed: {done.stdout[:80]!r} {done.stderr[:200]!r}"
    done = subprocess.run([sources.ROOT / script, "--no-such-option"], capture_output=True, text=True)
    if done.returncode == 0 or "--no-such-option" not in done.stderr:
        yield f"{script} --no-such-option ended with {done.returncode} and said {done.stderr[:200]!r}"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    problems = []
    for path, arguments in PAGES.items():
        problems += page_problems(sys.argv[1], path, arguments)
    for script in SCRIPTS:
        problems += help_problems(script)
    problems += guide_problems()
    sources.finish("generated pages, help and guides", problems, len(PAGES) + len(SCRIPTS) + len(GUIDES) + len(GUIDES_BY_NAME))


if __name__ == "__main__":
    main()
