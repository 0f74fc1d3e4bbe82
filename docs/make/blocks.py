"""The fenced code blocks of a Markdown page, and a tutorial run as it stands.

    python -m docs.make.blocks docs/tutorials/sweep.md          # run its sh and python blocks in order
    python -m docs.make.blocks --write docs/tutorials/*.md      # and put what they print into the text blocks

Each tutorial runs in an empty folder of its own; its python blocks share one namespace. A block marked `text` right
after one that ran holds what that printed on standard output.
"""

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = ("sh", "python")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its code, and where in the page that stands."""

    language: str
    code: str
    start: int
    end: int


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = FENCE.finditer(page)
    return [Block(match["language"], match["code"], match.start("code"), match.end("code")) for match in found]


def run(page: str) -> str:
    """Run the blocks of a tutorial in the working directory; returns the page with what they print now.

    Raises CalledProcessError or whatever a block raises.
    """
    namespace: dict[str, object] = {"__name__": "__main__"}
    parts: list[str] = []
    at, printed = 0, None
    for block in blocks(page):
        if block.language == "text" and printed is not None:
            parts += [page[at : block.start], printed]
            at = block.end
        printed = None
        if block.language in RUN:
            printed = _shell(block.code) if block.language == "sh" else _python(block.code, namespace)
    return "".join([*parts, page[at:]])


def _shell(code: str) -> str:
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def _python(code: str, namespace: dict[str, object]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, "<block>", "exec"), namespace)
    return printed.getvalue()


@contextlib.contextmanager
def empty_folder() -> Iterator[Path]:
    """A working directory of its own, in which `diffmem` is the command of this interpreter."""
    before, path = Path.cwd(), os.environ.get("PATH", "")
    with tempfile.TemporaryDirectory(prefix="tutorial-") as folder:
        command = Path(folder, ".bin", "diffmem")
        command.parent.mkdir()
        code = "import sys; from diffmem.cli.main import main; sys.exit(main())"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n')
        command.chmod(0o755)
        os.environ |= {"PATH": f"{command.parent}:{path}", "COLUMNS": "100"}
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)
            os.environ["PATH"] = path


def main(arguments: list[str]) -> None:
    write = "--write" in arguments
    os.environ["PYTHONPATH"] = os.pathsep.join([os.getcwd(), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    for path in [Path(word).resolve() for word in arguments if word != "--write"]:
        with empty_folder():
            page = run(path.read_text())
        if write:
            path.write_text(page)
        print(f"{path.name}: every block ran", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
