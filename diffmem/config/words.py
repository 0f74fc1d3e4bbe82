"""Overrides as a user types them, before Hydra's grammar reads them: a path stands for itself.

Hydra's grammar has no accents, brackets or blanks outside of quotes, and takes 2024 for a number. So the word of an
option that is a path is quoted, unless it is written in that grammar already: null, quotes, an interpolation, a sweep,
or several values that name no file together.
"""

import os
import re
from collections.abc import Collection

VALUES = re.compile(r"[\w./~-]+(,[\w./~-]+)+", re.ASCII)
SWEEP = re.compile(r"(choice|glob|range|shuffle|sort)\(")


def quoted_paths(overrides: list[str], keys: Collection[str]) -> list[str]:
    """`overrides` in which the words of the options `keys` are quoted where need be."""
    return [_quoted(override, keys) for override in overrides]


def _quoted(override: str, keys: Collection[str]) -> str:
    key, _, word = override.partition("=")
    return override if key not in keys or not word or _is_hydras(word) else f"{key}={quote(word)}"


def quote(word: str) -> str:
    """`word` as one quoted value of Hydra's grammar."""
    # backslashes count before a quote alone, where they escape one another
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), word)
    return f"'{escaped}'"


def _is_hydras(word: str) -> bool:
    in_quotes = len(word) > 1 and word[0] == word[-1] and word[0] in "'\""
    several = VALUES.fullmatch(word) is not None and not os.path.lexists(os.path.expanduser(word))
    return in_quotes or several or "${" in word or word.lower() == "null" or SWEEP.match(word) is not None
