"""The import rules and the habits of the house, read from the source."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, ANALYSIS = ROOT / "diffmem", ROOT / "analysis"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *ANALYSIS.rglob("*.py")])

# lowest first; a module imports from its own level or below
LEVELS = [
    {"errors", "version", "rng", "arguments", "memory", "tree", "files", "lease"},
    {"stats", "definitions", "records", "study_folder", "stored", "eval_dir", "store", "config"},
    {"data", "diffusion", "models", "theory"},
    {"metrics"},
    {"training"},
    {"executors"},
    {"sweep", "compare", "runs", "pictures", "monitor", "trackers", "family", "data_card"},
    {"cli", "__init__"},
]
ROOMS = ["__init__", "tables", "times", "laws", "figures", "pages", "pipeline", "studies"]  # of analysis, lowest first
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
ONLY_IN = {  # engine -> the one place that may import it
    "hydra": {"config/compose.py"},
    "omegaconf": {"config/compose.py"},
    "rich": {"sweep/progress.py"},
    "multiprocessing": {"executors/pool.py"},
    "tensorboard": {"trackers/tensorboard.py"},
    "wandb": {"trackers/wandb.py"},
    "mlflow": {"trackers/mlflow.py"},
    "trackio": {"trackers/trackio.py"},
    "submitit": {"executors/slurm_jobs.py"},
    "ray": {"executors/ray.py"},
    "datasets": {"data/hub.py"},
    "huggingface_hub": {"data/hub.py"},
    "peft": {"training/lora.py"},
}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(module, at the top of the file) of every import; relative ones resolved against `diffmem`."""
    tree = ast.parse(path.read_text())
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield "." * node.level + (node.module or ""), id(node) in top
            elif node.module == "diffmem":
                yield from ((f"diffmem.{alias.name}", id(node) in top) for alias in node.names)
            else:
                yield node.module or "", id(node) in top


def unit(path: Path) -> str:
    """The level's name of a file: its module, or the package it is in."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    own = LEVEL[unit(path)]
    for module, _ in imports(path):
        words = module.split(".")
        if words[0] != "diffmem" or len(words) == 1:
            continue
        if words[1] == "analysis":
            assert unit(path) in ("cli", "family"), f"only the two faces of the analysis may import {module}"
        elif words[1] != "configs":
            assert LEVEL[words[1]] <= own, f"{path.name} imports {module} from above"


@pytest.mark.parametrize("path", sorted(ANALYSIS.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_analysis_stands_on_the_foundation(path: Path) -> None:
    allowed = {
        "errors",
        "version",
        "arguments",
        "tree",
        "files",
        "stats",
        "definitions",
        "records",
        "study_folder",
        "store",
    }
    room = ROOMS.index(path.relative_to(ANALYSIS).with_suffix("").parts[0])
    for module, _ in imports(path):
        assert module.split(".")[0] not in {"torch", "diffusers", "hydra", "sklearn"}, module
        if module.startswith("diffmem"):
            assert module.split(".")[1] in allowed, module
        elif module.startswith("."):
            dots = len(module) - len(module.lstrip("."))
            words = [*path.relative_to(ANALYSIS).parts[:-1]][: len(path.relative_to(ANALYSIS).parts) - dots]
            words += [word for word in module.lstrip(".").split(".") if word]
            assert not words or ROOMS.index(words[0]) <= room, f"{path.name} imports {module} from above"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_engines_have_one_importer(path: Path) -> None:
    place = str(path.relative_to(PACKAGE))
    for module, top in imports(path):
        engine = module.split(".")[0]
        assert place in ONLY_IN.get(engine, {place}), f"{engine} belongs in {ONLY_IN[engine]}"
        if engine == "diffusers":
            assert not top, f"{engine} takes seconds: import it where it is used"


@pytest.mark.parametrize("path", [PACKAGE / "store.py", PACKAGE / "config" / "settings.py"], ids=lambda path: path.name)
def test_the_foundation_needs_no_torch(path: Path) -> None:
    assert "torch" not in {module.split(".")[0] for module, _ in imports(path)}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_are_one_idea(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    assert not text.strip() or ast.get_docstring(ast.parse(text)), "a module opens with what it computes"


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    heavy = "{'torch', 'numpy', 'hydra', 'diffusers', 'matplotlib', 'pandas', 'rich'}"
    code = (
        "import sys, diffmem, diffmem.cli.main\n"
        "try: diffmem.cli.main.main(['--version'])\n"
        "except SystemExit: pass\n"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_wheel_holds_every_folder() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent for top in (PACKAGE, ANALYSIS) for path in top.rglob("*.py")} | {ROOT / "configs"}
    inside = {folder.relative_to(ROOT) for folder in folders}
    names = {
        ".".join(folder.parts if folder.parts[0] == "diffmem" else ("diffmem", *folder.parts)) for folder in inside
    }
    assert names == set(settings["packages"])


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("test_*.py")), ids=lambda path: path.stem)
def test_tests_share_helpers_and_not_each_other(path: Path) -> None:
    for module, _ in imports(path):
        assert not module.startswith("tests.") or module.startswith("tests.helpers"), module


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_the_tests_import_is_declared(path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + [line for extra in project["optional-dependencies"].values() for line in extra]
    declared = {re.split(r"[<>=!\[]", line)[0].lower().replace("-", "_") for line in lines}
    named = {
        "hydra": "hydra_core",
        "sklearn": "scikit_learn",
        "PIL": "pillow",
        "yaml": "pyyaml",
        "mlflow": "mlflow_skinny",
    }
    for module, _ in imports(path):
        top = module.split(".")[0]
        if top and top not in sys.stdlib_module_names and top not in ("diffmem", "tests", "benchmarks", "docs"):
            assert named.get(top, top).lower() in declared, f"{top} is imported and not declared"
