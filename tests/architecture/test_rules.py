"""Rules of the code base: allowed imports, equal signatures, IEEE floating point, readable files."""

import ast
import importlib
import inspect
import re
import subprocess
from pathlib import Path

import pytest
from conftest import AVAILABLE
from contracts import contract, functions
from source_files import KERNELS, PACKAGE, SOURCES, imported, last_name, nodes

import pytest_fastnn
from fastnn import kernels
from fastnn.kernels.dispatch import specification, switch, windows

VARIANTS = ("naive", "vectorized", "njit", "cuda")
SHARED = {"dispatch", "cpu", "gpu", "cache"}
FIRST_PARTY = [(module, path) for module, path in SOURCES if module[1] != "kernels"]
IN_KERNELS = [(module, path) for module, path in SOURCES if module[1] == "kernels"]
IN_OPERATIONS = [(module, path) for module, path in IN_KERNELS if len(module) == 4 and module[2] in kernels.OPERATIONS]


def each(sources):
    """Make the check of a file a test of all files, which fails with every file that breaks the rule."""

    def decorate(check):
        def test():
            broken = []
            for module, path in sources:
                try:
                    check(module, path)
                except AssertionError as error:
                    broken.append(f"{'.'.join(module)}: {error}")
            assert not broken, "\n".join(broken)

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        return test

    return decorate


@pytest.fixture(scope="module", autouse=True)
def _trees_are_freed():
    yield
    nodes.cache_clear()


def test_a_broken_rule_names_every_file_that_breaks_it():
    def check(module, path):
        assert module[-1] == "right", "is wrong"

    sources = [(("fastnn", name), Path()) for name in ("first", "right", "last")]
    with pytest.raises(AssertionError, match=r"(?s)^fastnn\.first: is wrong.*\n\s*fastnn\.last: is wrong"):
        each(sources)(check)()


def words(path):
    """Return every name and every string of a file, without docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in nodes(path)[1]
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None
    }
    for node in nodes(path)[1]:
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


# ---- allowed imports ----


@each(FIRST_PARTY)
def test_fastnn_never_imports_a_compiler_or_a_variant(module, path):
    for name in imported(module, path):
        assert name[0] not in ("numba", "llvmlite", "cupy"), f"{path.name} imports {'.'.join(name)}"
        if name[:2] == ("fastnn", "kernels") or name[0] == "kernels":
            assert not {*VARIANTS, "simd"} & set(name[2:]), f"{path.name} imports {'.'.join(name)}"


@each(IN_KERNELS)
def test_kernels_import_nothing_of_fastnn_but_themselves(module, path):
    for name in imported(module, path):
        if name[0] in ("fastnn", "kernels"):
            assert name[:2] == ("fastnn", "kernels"), f"{path.name} imports {'.'.join(name)}"


@each(IN_OPERATIONS)
def test_operations_import_only_shared_folders(module, path):
    """Except `fused`: it may import the geometry of other contracts, its variants those of the same name."""
    _, _, operation, variant = module
    for name in imported(module, path):
        if name[:2] != ("fastnn", "kernels") or name[2] in SHARED:
            continue
        if name[2] == operation:
            assert not set(VARIANTS) & set(name[3:]), f"{operation}/{path.name} imports {'.'.join(name)}"
        else:
            assert operation == "fused", f"{operation}/{path.name} imports {'.'.join(name)}"
            other = set(VARIANTS) & set(name[3:])
            assert other <= {variant}, f"{operation}/{path.name} imports {'.'.join(name)}"
            if not other:
                assert name[3] in ("geometry", "index_dtype", "spec"), (
                    f"{operation}/{path.name} imports {'.'.join(name)}"
                )


@each([(module, path) for module, path in IN_KERNELS if module[-1] in ("naive", "vectorized")])
def test_the_plain_variants_need_no_compiler(module, path):
    for name in imported(module, path):
        assert name[0] not in ("numba", "llvmlite"), f"{path.name} imports {'.'.join(name)}"
        assert name[:3] != ("fastnn", "kernels", "cpu"), f"{path.name} imports {'.'.join(name)}"


@each(FIRST_PARTY)
def test_fastnn_dispatches_through_the_contracts(module, path):
    """Only the course's naive functions and the comparison of backends may name a backend; courses name a device."""
    if module[-1] == "fixed_backend" or {"benchmarking", "cli", "courses", "testing"} & set(module):
        return
    named = set(words(path)) & {"naive", "vectorized", "njit", "cuda"}
    assert not named, f"{path.name} names {named}"


# checks whose result differs from their argument, or protects it from later changes by the caller
CONVERTING = {"number", "integer", "pair", "flag", "floats", "array", "labels", "index", "real", "lengths"}
# exceptions, checked here and converted where they are used: file and parameter, and why
ONLY_CHECKED = {
    ("linear_classifier", "y"): "labels of a data set in a file stay there; batches are converted",
    ("two_layer_net", "y{name}"): "labels of a data set in a file stay there; batches are converted",
    ("normalization", "x"): "the kernel converts; here only the number of axes is checked",
    ("normalization", "bn_param['momentum']"): "read by update_running, after the kernel",
    ("state_validation", None): "Solver.load_state converts what it takes over",
    ("sweep", None): "numbers that argparse made of text",
}


@each(SOURCES)
def test_what_a_check_returns_is_used(module, path):
    """A function that keeps its argument instead keeps the caller's array, which may change later."""
    for node in nodes(path)[1]:
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            continue
        called, *_ = ast.unparse(node.value).partition("(")
        if called.startswith(("validation.", "checks.", "arguments.")) and called.partition(".")[2] in CONVERTING:
            names = [ast.unparse(argument).strip("f\"'") for argument in node.value.args[1:2]]
            names += [keyword.arg for keyword in node.value.keywords[:1]]
            reasons = {(path.stem, names[0]), (path.stem, None)} & set(ONLY_CHECKED)
            assert reasons, f"{path.name}:{node.lineno} drops what {ast.unparse(node.value)} returns"


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[1].rglob("test_*.py")), ids=lambda path: path.stem)
def test_tests_do_not_import_one_another(path):
    """Shared code of tests is in tests/helpers."""
    for name in imported((path.stem,), path):
        assert not name[0].startswith("test_"), f"{path.name} imports {name[0]}"


# ---- equal names, equal signatures ----


def test_every_folder_of_kernels_is_an_operation_or_shared():
    folders = {path.parent.name for path in KERNELS.glob("*/__init__.py")}
    assert folders == {*kernels.OPERATIONS, *SHARED}


@pytest.mark.parametrize("operation", kernels.OPERATIONS)
def test_every_operation_has_all_variants(operation):
    for variant in VARIANTS[:3]:
        assert switch._has_variant(operation, variant), f"{operation} lacks {variant}"
    assert contract(operation), f"{operation} offers nothing"


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name in AVAILABLE])
@pytest.mark.parametrize("operation", kernels.OPERATIONS)
def test_variants_have_the_names_and_parameters_of_the_contract(operation, variant):
    front = contract(operation)
    module = importlib.import_module(f"fastnn.kernels.{operation}.{variant}")
    assert set(functions(module)) == set(front)
    for name, function in functions(module).items():
        actual = inspect.signature(function).parameters
        assert list(actual) == windows.inner(inspect.signature(front[name]).parameters), f"{operation}.{variant}.{name}"
        assert all(parameter.default is parameter.empty for parameter in actual.values())


@pytest.mark.parametrize("operation", kernels.OPERATIONS)
def test_contracts_say_what_they_mean(operation):
    assert importlib.import_module(f"fastnn.kernels.{operation}").__doc__
    for name, function in contract(operation).items():
        assert len(inspect.getdoc(function) or "") > 80, f"{operation}.{name} lacks a docstring"


@pytest.mark.parametrize("operation", kernels.OPERATIONS)
def test_specifications_have_every_function_and_parameter(operation):
    specified = specification.functions(operation)
    assert specified.keys() == contract(operation).keys()
    for name, function in specified.items():
        assert list(function.arguments) == list(function.parameters), name
        assert set(function.written) <= set(function.arguments), name
    timed = {name for one in specification.timed(operation) for name in one.passes.values()}
    assert timed, f"nothing of {operation} is timed"
    assert timed <= specified.keys()


@pytest.mark.parametrize("operation", kernels.OPERATIONS)
def test_contracts_name_themselves_in_their_errors(operation):
    for name, function in contract(operation).items():
        assert f'"{name}"' in inspect.getsource(function), f"{operation}.{name} does not pass its name to the checks"


# ---- floating point ----


HARMLESS = {"contract", "nsz", "reassoc"}


@each(SOURCES)
def test_no_flag_assumes_that_nan_and_infinity_do_not_exist(module, path):
    for node in nodes(path)[1]:
        for keyword in getattr(node, "keywords", []):
            if keyword.arg == "fastmath" and ast.unparse(keyword.value) != "set(FASTMATH)":
                assert set(ast.literal_eval(keyword.value)) <= HARMLESS, f"{path.name}:{node.lineno}"
    assert not {"nnan", "ninf"} & set(words(path)), f"{path.name} names a flag"


def test_the_flags_are_harmless():
    pytest.importorskip("numba")
    from fastnn.kernels.cpu import compiling

    assert compiling.FASTMATH.issubset(HARMLESS)


@each(IN_KERNELS)
def test_division_by_zero_gives_infinity_not_an_error(module, path):
    for node in nodes(path)[1]:
        is_jit = isinstance(node, ast.Call) and last_name(node.func) in ("jit", "njit")
        if is_jit and ast.unparse(node.func) != "cuda.jit":  # on a GPU division never raises
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert options.get("error_model") == "'numpy'", f"{path.name}:{node.lineno}"
        for decorator in getattr(node, "decorator_list", []):
            assert last_name(decorator) not in ("jit", "njit"), f"{path.name}:{node.lineno}"


# ---- reading ----


@each([*SOURCES, (("pytest_fastnn",), Path(pytest_fastnn.__file__))])
def test_errors_are_raised_not_asserted(module, path):
    """`python -O` removes assertions."""
    for node in nodes(path)[1]:
        assert not isinstance(node, ast.Assert), f"{path.name}:{node.lineno} asserts"


@each(SOURCES)
def test_files_are_short_and_have_docstrings(module, path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 350
    assert not text.strip() or ast.get_docstring(nodes(path)[0]), f"{path.name} has no docstring"
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)


@pytest.mark.parametrize("root", [PACKAGE, KERNELS], ids=["fastnn", "kernels"])
def test_every_folder_of_sources_is_a_package(root):
    """Packages are found by their `__init__.py` when a wheel is built (see `setup.py`)."""
    for path in root.rglob("*.py"):
        assert (path.parent / "__init__.py").exists(), f"{path.parent} is left out of the wheel"


def tracked():
    root = PACKAGE.parent
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return [root / name for name in listed.stdout.split("\0") if name]


def test_files_contain_no_paths_of_a_machine():
    """No file contains paths of a machine or host names of package registries."""
    files = tracked()
    if not files:
        pytest.skip("not a git checkout")
    wrong = re.compile(
        "|".join(
            (
                r"/(?:home|root|Users|work)/\w+",
                r"[A-Z]:\\Users",
                "files\\.python" + "hosted",
                "pypi\\.(?:org|io)",
                "index-url",
            )
        )
    )
    for path in files:
        if path.suffix in (".py", ".toml", ".md", ".cfg", ".yml", ".yaml", ".txt", ".json", "") and path.is_file():
            found = wrong.search(path.read_text(encoding="utf-8"))
            assert not found or path == Path(__file__), f"{path.name}: {found}"
