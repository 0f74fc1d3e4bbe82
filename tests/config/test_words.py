"""Overrides as a user types them: a path stands for itself, and what Hydra cannot read is named."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffmem.config.compose import compose, compose_grid
from diffmem.config.data import ImageFolderData
from diffmem.errors import InputError


def root_of(word: str) -> str | None:
    data = compose(["data=image_folder", f"data.root={word}"]).data
    assert isinstance(data, ImageFolderData)
    return data.root


@pytest.mark.parametrize(
    "path",
    [
        *("/home/zoé/photos", "photos (1)", "a/b(1)", "2024", "1e5", "true", "my photos", "a=b", "a:b", "[x]", "{x}"),
        *(
            "it's",
            'say "x"',
            "back\\slash",
            "end\\",
            "\\'",
            "100%",
            "a+b",
            "写真",
            "~/photos",
            "..",
            "a,b c",
            "$x",
            "-",
        ),
    ],
)
def test_a_path_is_taken_as_it_stands(path: str) -> None:
    assert root_of(path) == path


def test_what_is_written_in_hydras_grammar_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert root_of("null") is None
    assert root_of("'my photos'") == "my photos"
    assert compose(["experiment=quickstart", "out=runs/${seed}", "seed=3"]).out == "runs/3"
    assert [one.out for one in compose_grid(["out=a,b"])] == ["a", "b"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a,b").mkdir()
    assert [one.out for one in compose_grid(["out=a,b"])] == ["a,b"]


@settings(max_examples=25)
@given(st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12))
def test_any_text_is_a_path_or_is_written_in_hydras_grammar(text: str) -> None:
    written = text[0] == text[-1] and text[0] in "'\"" and len(text) > 1
    if not (written or "${" in text or text.lower() == "null" or "," in text or text.strip() != text):
        assert root_of(text) == text


@pytest.mark.parametrize("word", ["data.n=(", "data.n='", "data.n=" + "[" * 3000, "data.n=" + "9" * 5000, "data.n"])
def test_what_cannot_be_read_is_named(word: str) -> None:
    with pytest.raises(InputError, match=r"data\.n") as caught:
        compose([word])
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "axis", ["seed=range(0,1000000)", "seed=range(0,1e18)", "seed=range(0,200) data.n=range(2,202)"]
)
def test_a_grid_has_a_size(axis: str) -> None:
    with pytest.raises(InputError, match="makes a grid of more than 10000 runs"):
        compose_grid(axis.split())
