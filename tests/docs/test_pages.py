"""Every page says what is there: links lead somewhere, code parses, verbs exist, usage is what `--help` prints."""

import ast
import importlib.util
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from diffmem.cli.main import VERBS
from docs.make import tables, verbs
from docs.make.blocks import blocks, run

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")])
NAMES = list(VERBS)
LANGUAGES = {"python", "sh", "text", "bibtex"}
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
IN_CODE = re.compile(r"`([^`\n]+)`|^(?:    |\t)(.+)$", re.MULTILINE)
COMMAND = re.compile(r"(?:^|[\s;|(])diffmem ([a-z][\w-]*)")
each_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


@each_page
def test_links_lead_to_files(path: Path) -> None:
    for target in LINK.findall(path.read_text()):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"


@each_page
def test_fenced_blocks_parse(path: Path) -> None:
    for block in blocks(path.read_text()):
        assert block.language in LANGUAGES, f"{path.name} has a block of {block.language or 'no language'}"
        if block.language == "python":
            ast.parse(block.code)
        elif block.language == "sh":
            subprocess.run(["bash", "-n", "-c", block.code], check=True)


@each_page
def test_every_verb_that_is_named_exists(path: Path) -> None:
    text = path.read_text()
    code = [block.code for block in blocks(text) if block.language == "sh"]
    code += ["".join(parts) for parts in IN_CODE.findall(text)]
    for line in code:
        for verb in COMMAND.findall(line):
            assert verb in NAMES, f"{path.name}: {line.strip()}"


@each_page
def test_tables_are_those_of_the_csv(path: Path) -> None:
    assert tables.filled(path.read_text()) == path.read_text(), "python -m docs.make.tables writes them anew"


def test_a_table_is_written_anew() -> None:
    page = "a\n<!-- table faults.csv -->\nold\n<!-- end -->\nb\n"
    head, rule, *rows = tables.filled(page).splitlines()[2:-2]
    assert head.startswith("| executor | rounds |")
    assert set(rule) == set("| -")
    assert [row.split()[1] for row in rows] == sorted(row.split()[1] for row in rows)
    assert tables.filled(page).endswith(" |\n<!-- end -->\nb\n")


@pytest.mark.parametrize("verb", NAMES)
def test_usage_is_what_help_prints(verb: str) -> None:
    *_, usage = blocks((DOCS / "verbs" / f"{verb}.md").read_text())
    assert usage.code.split() == verbs.usage(verb).split(), "python -m docs.make.verbs --usage writes it anew"


def test_every_verb_has_a_page_and_an_example() -> None:
    assert sorted(verbs.EXAMPLES) == sorted(NAMES)
    assert (DOCS / "verbs" / "index.md").read_text() == verbs.index()
    assert {path.stem for path in (DOCS / "verbs").glob("*.md")} == {"index", *NAMES}


def test_every_page_is_in_the_site() -> None:
    def files(entry: object) -> list[str]:
        if isinstance(entry, str):
            return [entry]
        parts = entry.values() if isinstance(entry, dict) else entry
        assert not isinstance(parts, int)
        return [file for part in parts for file in files(part)]  # type: ignore[attr-defined]

    nav = files(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert sorted(nav) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def test_the_reference_names_modules() -> None:
    named = [
        word
        for path in (DOCS / "reference").glob("*.md")
        for word in re.findall(r"^::: (\S+)$", path.read_text(), re.M)
    ]
    assert len(named) == len(set(named)) > 30
    for module in named:
        assert importlib.util.find_spec(module) is not None, module


def test_a_tutorial_is_filled_with_what_its_blocks_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (
        "a\n```python\nx = 2\nprint(x)\n```\nb\n```text\nold\n```\n```sh\necho hi; echo no >&2\n```\n\n```text\n```\n"
    )
    page += "```python\nprint(x + 1)\n```\n"
    assert run(page) == page.replace("old\n", "2\n").replace("\n\n```text\n```", "\n\n```text\nhi\n```")
    with pytest.raises(ZeroDivisionError):
        run("```python\n1 / 0\n```\n")
    with pytest.raises(subprocess.CalledProcessError):
        run("```sh\nfalse\ntrue\n```\n")
