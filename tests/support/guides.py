"""The commands of the guides in docs/, as a reader would type them. A block is named by `<!-- tested: NAME -->` before it."""

import os
import pathlib
import re
from dataclasses import dataclass

BLOCK = re.compile(r"(?:<!-- tested: (?P<name>[^\n]+?) -->\n\s*)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.S | re.M)


@dataclass
class Block:
    """A fenced block: `name` is None where nothing says that it is tested; `language` is empty where it has none."""

    name: str | None
    language: str
    text: str

    def commands(self):
        """Its lines without remarks; a line that ends with a backslash goes on with the next."""
        lines = re.sub(r"\\\n\s*", "", self.text).splitlines()
        return [line.split("  # ")[0].rstrip() for line in lines if line.strip() and not line.startswith("#")]

    def file_name(self):
        """Of a block that begins with `# NAME.yaml`: the file that it is the content of."""
        found = re.match(r"# (\S+\.yaml)\b", self.text)
        return found[1] if found else None


def blocks(guide, folder=None):
    """All fenced blocks of a guide, in their order."""
    folder = folder or pathlib.Path(os.environ["BALEEN_SOURCE"]) / "docs"
    return [Block(**match.groupdict()) for match in BLOCK.finditer((folder / guide).read_text())]


def commands_in(guide, name):
    """The commands of the block that is named so."""
    found = [block for block in blocks(guide) if block.name == name]
    if len(found) != 1:
        raise AssertionError(f"docs/{guide} has {len(found)} blocks with the marker <!-- tested: {name} -->")
    return found[0].commands()
