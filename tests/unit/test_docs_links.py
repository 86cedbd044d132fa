"""Every link of the documentation leads somewhere, and every page can be reached from the README."""

import re
from urllib.parse import unquote

import pytest

from tests.support.documentation import Page, page, pages
from tests.support.gate import ROOT


def local_links(one: Page) -> list[str]:
    return [target for target in one.links() if not re.match(r"[a-z]+:", target)]


@pytest.mark.parametrize("one", pages(), ids=str)
def test_links_within_the_project_resolve(one):
    for target in local_links(one):
        path, _, fragment = target.partition("#")
        found = (one.path.parent / unquote(path)).resolve() if path else one.path
        assert found.is_relative_to(ROOT), f"{one}: {target} leaves the project"
        assert found.exists(), f"{one}: {target} does not exist"
        if fragment:
            assert fragment in Page(found).anchors(), f"{one}: {target} names no heading"


@pytest.mark.parametrize("one", pages(), ids=str)
def test_links_to_others_are_encrypted(one):
    assert not [target for target in one.links() if target.startswith("http:")]


def test_every_page_can_be_reached_from_the_readme():
    reached, todo = set(), [page("README.md")]
    while todo:
        one = todo.pop()
        if one.path in reached or one.path.suffix != ".md" or not one.path.is_file():
            continue
        reached.add(one.path)
        todo += [Page((one.path.parent / unquote(target.partition("#")[0])).resolve()) for target in local_links(one)]

    assert {str(one) for one in pages() if one.path not in reached} == set()


def test_nothing_names_the_machine_that_it_was_written_on():
    for one in pages():
        assert not re.search(r"(?<![\w./])/(work|tmp|root)/", one.text), f"{one} names a path of one machine"
