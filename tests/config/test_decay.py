"""The word of `optimizer.decay`: the shares it stands for, and every other word refused before anything is planned."""

import pytest

from diffmem.config.compose import compose
from diffmem.config.decay import decay_of
from diffmem.errors import InputError


@pytest.mark.parametrize(("word", "shares"), [("linear:8", (1, 0.75, 0.5, 0)), ("cosine:8", (1, 0.8535534, 0.5, 0))])
def test_a_decay_begins_at_one_is_half_in_the_middle_and_stays_at_none(word: str, shares: tuple[float, ...]) -> None:
    decay = decay_of(word)
    assert [decay.share(step) for step in (0, 2, 4, 8)] == pytest.approx(shares)
    assert decay.share(10**9) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    "word", ["cosine", "cosine:", "cosine:0", "cosine:-3", "step:5", "linear:1e3", "linear:9" + "9" * 40]
)
def test_any_other_word_is_refused_with_those_there_are(word: str) -> None:
    with pytest.raises(InputError, match=r"optimizer.decay=.* is none of cosine:STEPS, linear:STEPS with 1 to"):
        decay_of(word)


def test_a_decay_is_part_of_the_run_and_none_of_the_id_of_a_run_without() -> None:
    ids = {compose(words).run_id("abc") for words in ([], ["optimizer.decay=linear:9"], ["optimizer.decay=linear:10"])}
    assert len(ids) == 3
    with pytest.raises(InputError, match=r"optimizer.decay=fast is none of"):
        compose(["optimizer.decay=fast"])
    assert "decay" not in compose([]).to_mapping()["optimizer"]
