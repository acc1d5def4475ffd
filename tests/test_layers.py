"""The floors: imports point down, there is no circle, and heavy libraries are imported where used.

The imports are read from the source of every file, so nothing is run. The floors are those of the
design: a file imports only from floors below its own, or from its own folder on its own floor.
"""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
FLOORS = {
    "cai.types": 1,
    "cai.errors": 1,
    "cai.suggest": 1,
    "cai.atomic_write": 1,
    "cai.constitution": 2,
    "cai.data": 2,
    "cai.models": 2,
    "cai.delimiters": 1,
    "cai.sandbox": 1,
    "cai.templates": 3,
    "cai.engine": 3,
    "cai.methods": 4,
    "cai.runs": 5,
    "cai.export": 6,
    "cai.evaluation": 6,
    "cai.training": 7,
    "cai.run": 8,
    "cai.pipeline": 8,
    "cai.serving": 8,
    "cai.rounds": 9,
    "cai.report": 10,
    "cai.testbed": 11,  # a whole chain is run on it, measured, and reported with its truth
    "cai.cli": 12,
    "cai": 13,
}
HEAVY = {
    "accelerate", "choix", "datasets", "datasketch", "fastapi", "huggingface_hub", "matplotlib",
    "peft", "pyarrow", "safetensors", "scipy", "sklearn", "starlette", "statsmodels", "tokenizers",
    "torch", "transformers", "trl", "uvicorn",
}  # fmt: skip
HEAVY_FILES = {
    "cai.evaluation.policies.ratings",
    "cai.evaluation.stats.bootstrap",
    "cai.evaluation.stats.bradley_terry",
    "cai.evaluation.stats.calibration",
    "cai.evaluation.stats.length_control",
    "cai.export.near_duplicates",
    "cai.export.parquet_schema",
    "cai.models.hf.continuous_batching",
    "cai.models.hf.model",
    "cai.models.hf.choices",
    "cai.models.hf.forward",
    "cai.models.hf.kv_cache",
    "cai.models.hf.loading",
    "cai.models.hf.worker",
    "cai.report.charts",
    "cai.rounds.divergence",
    "cai.serving.app",
    "cai.serving.server",
    "cai.testbed.train",
    "cai.training.run",
    "cai.training.setup",
    "cai.training.config",
    "cai.training.data.trl_tables",
    "cai.training.card",
    "cai.training.base_model",
    "cai.training.elastic",
    "cai.training.launch",
    "cai.training.reward_model.checkpoint",
    "cai.training.reward_model.evaluate",
    "cai.training.reward_model.network",
    "cai.training.soft_losses",
    "cai.training.trl",
    "cai.training.monitor.callbacks",
    "cai.training.monitor.policy_samples",
}


def _name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


FILES = {_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def _statements(tree: ast.Module, *, is_deep: bool) -> Iterator[ast.AST]:
    """All statements; or those that run when the file is imported, and so not those for types."""
    if is_deep:
        yield from ast.walk(tree)
        return
    waiting: list[ast.AST] = [tree]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                continue
            yield node
            waiting.append(node)


def _imports(module: str, *, is_deep: bool) -> set[str]:
    found: set[str] = set()
    for node in _statements(ast.parse(FILES[module].read_text("utf-8")), is_deep=is_deep):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import. Write the whole name."
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in FILES else str(node.module) for name in names}
    return found


def _ours(module: str, *, is_deep: bool = True) -> set[str]:
    return {name for name in _imports(module, is_deep=is_deep) if name in FILES}


def _floor(module: str) -> int:
    while module not in FLOORS:
        module = module.rpartition(".")[0]
    return FLOORS[module]


def _room(module: str) -> str:
    """The folder of src/cai that holds the module; "cai" for the files beside the folders."""
    top = ".".join(module.split(".")[:2])
    return top if FILES[top].name == "__init__.py" else "cai"


def test_every_file_of_the_package_is_read():
    assert len(FILES) > 50
    assert {"cai", "cai.cli.main", "cai.models.hf.model", "cai.testbed.world"} <= set(FILES)


def test_every_file_and_folder_has_a_floor_of_its_own():
    tops = {".".join(name.split(".")[:2]) for name in FILES}
    assert tops == set(FLOORS)


def test_the_kinds_of_model_know_nothing_of_each_other():
    kinds = ("cai.models.hf.", "cai.models.openai.")
    for module in (name for name in FILES if name.startswith(kinds)):
        own = next(kind for kind in kinds if module.startswith(kind))
        others = {name for name in _ours(module) if name.startswith(kinds)}
        assert all(name.startswith(own) for name in others), module


@pytest.mark.parametrize("module", FILES)
def test_imports_point_down(module: str):
    wrong = [
        f"{module} (floor {_floor(module)}) imports {name} (floor {_floor(name)})"
        for name in sorted(_ours(module))
        if not _floor(name) < _floor(module)
        and not (_floor(name) == _floor(module) and _room(name) == _room(module))
    ]
    assert wrong == []


def test_there_is_no_circle():
    try:
        order = list(TopologicalSorter({name: _ours(name) for name in FILES}).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))
    assert set(order) == set(FILES)


def test_heavy_libraries_are_imported_by_the_files_that_use_them_alone():
    heavy = {
        module
        for module in FILES
        if HEAVY & {name.partition(".")[0] for name in _imports(module, is_deep=False)}
    }
    assert heavy == HEAVY_FILES


@pytest.mark.parametrize("start", ["cai", "cai.cli.main"])
def test_what_the_package_and_the_command_import_reaches_nothing_heavy(start: str):
    reached: set[str] = set()
    waiting = {start}
    while waiting:
        module = waiting.pop()
        reached.add(module)
        package = module.rpartition(".")[0]  # importing a module imports the packages around it
        waiting |= (_ours(module, is_deep=False) | ({package} if package else set())) - reached
    assert reached & HEAVY_FILES == set()


def _is_in(module: str, *places: str) -> bool:
    return module in places or module.startswith(tuple(f"{place}." for place in places))


def test_the_methods_see_no_concrete_model():
    """Responding, revising and judging know the protocol; who answers is the caller's choice."""
    for module in (name for name in FILES if _is_in(name, "cai.methods")):
        models = {name for name in _ours(module) if name.startswith("cai.models")}
        assert models <= {"cai.models.base"}, module
        assert not any(_is_in(name, "cai.engine") for name in _ours(module)), module
    seeing = {name for name in FILES if "cai.models.base" in _ours(name)}
    assert {"cai.methods.roles", "cai.methods.revision", "cai.methods.judging.pairwise"} <= seeing


def test_judging_knows_neither_sampling_nor_revision():
    """What is judged may come from anywhere."""
    for module in (name for name in FILES if _is_in(name, "cai.methods.judging")):
        assert not any(
            _is_in(name, "cai.methods.sampling", "cai.methods.revision") for name in _ours(module)
        )
