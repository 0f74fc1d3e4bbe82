"""Tables of docs/data in the pages: each stands, as Markdown, between `<!-- table NAME.csv -->` and `<!-- end -->`.

python -m docs.make.tables      # write them anew where the csv has changed
"""

import csv
import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1]
TABLE = re.compile(r"(<!-- table (?P<name>\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str) -> str:
    """The page with its tables as the csv files have them now."""
    return TABLE.sub(lambda match: match[1] + _markdown(DOCS / "data" / match["name"]) + match[3], page)


def _markdown(path: Path) -> str:
    with path.open(newline="") as file:
        head, *rows = csv.reader(file)
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    for place in DOCS.rglob("*.md"):
        page = place.read_text()
        if filled(page) != page:
            place.write_text(filled(page))
            print(f"{place.relative_to(DOCS)}: its tables are written anew")
