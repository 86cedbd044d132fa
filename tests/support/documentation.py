"""Reads the project's Markdown: pages, links, tables and fenced blocks, for tests that hold it to the code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.gate import ROOT

FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[(?:[^\]\[]|\[[^\]]*\])*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(?P<text>.+?) *$", re.MULTILINE)
CONTINUATION = re.compile(r"\s*\\\n\s*")
HERE_DOCUMENT = re.compile(r"^(?P<line>.*<<'(?P<end>\w+)')\n(?P<body>.*?)^(?P=end)$", re.MULTILINE | re.DOTALL)
CELL_BORDER = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, and its text without the indentation of the list that it may stand in."""

    language: str
    text: str


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return FENCE.sub("", self.text)

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    def links(self) -> list[str]:
        """The target of every link."""
        return [match["target"] for match in LINK.finditer(self.prose)]

    def anchors(self) -> set[str]:
        """What a link's fragment may name: the headings as GitHub writes them."""
        return {anchor(match["text"]) for match in HEADING.finditer(self.prose)}

    def blocks(self, language: str) -> list[Block]:
        """The fenced blocks of one language, in order."""
        return [
            Block(language, re.sub(rf"^{match['indent']}", "", match["body"], flags=re.MULTILINE))
            for match in FENCE.finditer(self.text)
            if match["language"] == language
        ]

    def table(self, first_heading: str) -> list[dict[str, str]]:
        """The rows of the table whose first column has this heading."""
        lines = iter(self.prose.splitlines())
        for line in lines:
            headings = cells(line)
            if headings and headings[0] == first_heading:
                return list(_rows(headings, lines))
        raise AssertionError(f"{self} has no table that begins with '{first_heading}'")


def pages() -> list[Page]:
    """All of the project's pages: those of the top folder, and everything below docs."""
    return [Page(path) for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])]


def page(path: str) -> Page:
    """The page at a path from the project's root."""
    return Page(ROOT / path)


def anchor(heading: str) -> str:
    """The fragment that GitHub gives a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


def cells(line: str) -> list[str]:
    """The cells of a table's row; none where the line is no row."""
    if not line.lstrip().startswith("|"):
        return []
    return [cell.strip().replace("\\|", "|") for cell in CELL_BORDER.split(line.strip().strip("|"))]


def commands(block: Block) -> list[str]:
    """The commands of a shell block, each on one line, without comments and without what is fed to them."""
    text = HERE_DOCUMENT.sub(r"\g<line>", CONTINUATION.sub(" ", block.text))
    lines = (re.sub(r"(^|\s+)# .*$", "", line).strip() for line in text.splitlines())
    return [line for line in lines if line]


def _rows(headings: list[str], lines: Iterator[str]) -> Iterator[dict[str, str]]:
    next(lines)
    for line in lines:
        found = cells(line)
        if not found:
            return
        yield dict(zip(headings, found, strict=True))
