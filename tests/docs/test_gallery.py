"""The gallery is what its tables say, and the table of fig2 is what comes out of the runs that are kept."""

import csv
from pathlib import Path

import pytest

from diffmem.analysis.figures.files import Picture
from diffmem.analysis.studies import claims, registry
from diffmem.analysis.studies.reading import Request
from diffmem.config.study import read_study, study_names
from diffmem.pictures import Pictures
from docs.make import gallery

KEPT = sorted(path.stem for path in gallery.TABLES.glob("*.csv") if not path.stem.endswith("_figure"))


def test_the_page_is_written_from_the_tables() -> None:
    assert (gallery.DOCS / "gallery.md").read_text() == gallery.page(), "make gallery writes it anew"


@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept_is_of_the_claims_as_they_are(name: str) -> None:
    assert name in study_names()
    with (gallery.TABLES / f"{name}.csv").open(newline="") as file:
        kept = [row["claim"] for row in csv.DictReader(file)]
    assert kept == [claim.words for claim in read_study(name).claims.values()]
    assert (gallery.TABLES / f"{name}_figure.csv").exists()
    assert 1000 < (gallery.PICTURES / f"{name}.png").stat().st_size < 150_000


@pytest.mark.slow
def test_fig2_is_read_from_the_family_that_is_kept(tmp_path: Path) -> None:
    study = read_study("fig2")
    places = {"family": gallery.DOCS / "data" / "digits_law.csv"}
    reading = registry.read(study.reader, Request(places=places, keys=list(study.claims), images=Pictures()))
    assert isinstance(reading.picture, Picture)
    written = claims.write(claims.table(study.claims, reading.found, reduced=True), tmp_path)
    assert written.read_text() == (gallery.TABLES / "fig2.csv").read_text()
