#!/usr/bin/env python3
"""Holds the documentation against the tree: cited paragraphs exist, links lead somewhere."""
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCES = [p for room in ("gst", "elements", "pipelines", "tests")
           for p in (ROOT / room).rglob("*") if p.suffix in (".cpp", ".hpp", ".h")]


def paragraphs():
    titles = set()
    for page in (ROOT / "docs" / "protocol").glob("*.md"):
        titles.update(re.findall(r"^#+ (.*)$", page.read_text(), re.M))
    return titles


class Docs(unittest.TestCase):
    def test_every_cited_paragraph_of_the_protocol_exists(self):
        titles = paragraphs()
        cited = 0
        for source in SOURCES:
            # A citation may be broken over two comment lines, and name several titles.
            text = re.sub(r"\n\s*(//|\*)\s?", " ", source.read_text())
            for titled in re.findall(r'docs/protocol\.md ((?:"[^"]+"(?:, | and )?)+)', text):
                for title in re.findall(r'"([^"]+)"', titled):
                    cited += 1
                    self.assertIn(title, titles, f"{source.relative_to(ROOT)} cites it")
        self.assertGreater(cited, 0)

    def test_the_index_lists_every_paragraph(self):
        index = (ROOT / "docs" / "protocol.md").read_text()
        for page in (ROOT / "docs" / "protocol").glob("*.md"):
            for title in re.findall(r"^## (.*)$", page.read_text(), re.M):
                self.assertIn(title, index, page.name)

    def test_links_lead_somewhere(self):
        for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
            for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text()):
                self.assertTrue((page.parent / target).exists(),
                                f"{page.relative_to(ROOT)} links to {target}")

    def test_every_element_has_a_page(self):
        plugin = (ROOT / "elements" / "plugin.cpp").read_text()
        for name in re.findall(r"GST_ELEMENT_REGISTER\((\w+),", plugin):
            self.assertTrue((ROOT / "docs" / "elements" / f"{name}.md").exists(), name)


if __name__ == "__main__":
    result = unittest.main(exit=False, verbosity=2).result
    sys.exit(0 if result.wasSuccessful() else 1)
