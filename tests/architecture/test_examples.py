"""Every public function, class and command has an example on its page, and all examples run."""

import doctest
import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

import fastnn.courses
from fastnn import cli
from fastnn.data_utils import get_shapes_data
from fastnn.kernels.cpu.compiling import ANNOUNCEMENT
from fastnn.kernels.dispatch import switch

EXTENSIONS = Path(__file__).parents[2] / "docs" / "_ext"
sys.path.insert(0, str(EXTENSIONS))
try:
    import examples
finally:
    sys.path.remove(str(EXTENSIONS))

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FILES = sorted(path.stem for path in examples.FOLDER.glob("*.txt"))


@pytest.fixture(autouse=True)
def _as_before(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    backend = switch.get_backend()
    yield
    assert switch.get_backend() == backend
    fastnn.courses.uninstall()


def failures(text, name="example"):
    """What `doctest` reports of an example, with names of its own; nothing if it runs."""
    np.random.seed(0)
    said: list[str] = []
    test = doctest.DocTestParser().get_doctest(text, {"__name__": "__main__"}, name, name, 0)
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
    return "".join(said)


@pytest.mark.parametrize("module", FILES)
def test_examples_run(module):
    names_of: dict[str, list[str]] = {}
    for name, text in examples.examples(module).items():
        names_of.setdefault(text, []).append(name)
    assert names_of
    found = "".join(failures(text, f"{module}: {', '.join(names)}") for text, names in names_of.items())
    assert not found, found


def test_every_public_name_has_an_example():
    public = examples.public()
    shown = {id(value) for module, names in public.items() for value in _shown(module, names)}
    missing = {f"{module}.{name}" for module, names in public.items() for name in names if id(names[name]) not in shown}
    assert sum(map(len, public.values())) > 400
    assert not missing


def _shown(module, names):
    return (names[name] for name in examples.examples(module))


def test_every_example_belongs_to_a_page():
    public = examples.public()
    assert set(FILES) <= set(public)
    assert not {
        f"{module}.{name}" for module in FILES for name in examples.examples(module) if name not in public[module]
    }


@pytest.mark.parametrize("module", FILES)
def test_every_example_uses_the_names_that_it_shows(module):
    siblings: dict[str, list[str]] = {}
    for name, text in examples.examples(module).items():
        siblings.setdefault(text, []).append(name)
    for text, names in siblings.items():
        assert not {name for name in names if not re.search(rf"\b{name}\b", text)}, text
        assert all(len(line) <= 125 for line in text.splitlines()), text


COMMANDS = (EXTENSIONS.parent / "commands.md").read_text(encoding="utf-8")


@pytest.fixture
def module_mine():
    """The name of the module that the commands import, which other tests use too."""
    yield "mine"
    sys.modules.pop("mine", None)


def test_the_commands_of_the_page_run(tmp_path, monkeypatch, capsys, module_mine):
    monkeypatch.chdir(tmp_path)
    image = get_shapes_data(10, 2, 40, subtract_mean=False)["X_test"][0]
    plt.imsave("photo.png", np.clip(image.transpose(1, 2, 0) * 64 / 255, 0, 1))
    (kernel,) = re.findall(r"```python\n(.*?)```", COMMANDS, re.DOTALL)
    Path(f"{module_mine}.py").write_text(kernel, encoding="utf-8")
    for command, expected in re.findall(r"```console\n\$ fastnn (.*?)\n(.*?)```", COMMANDS, re.DOTALL):
        with switch.use_backend("njit"):
            assert cli.main(command.split()) == 0
        actual = capsys.readouterr().out.replace("\\", "/").replace(f"{ANNOUNCEMENT}\n", "")
        assert doctest.OutputChecker().check_output(expected, actual, FLAGS), f"{command}\n{actual}"


def test_every_command_has_an_example():
    shown = set(re.findall(r"^\$ fastnn (\w+)", COMMANDS, re.MULTILINE))
    listed = set(re.findall(r"^\| `fastnn (\w+)", COMMANDS, re.MULTILINE))
    assert shown == listed == set(cli._parser().commands)


def test_an_example_that_is_wrong_is_reported():
    assert "Expected" in failures(">>> 1 + 1\n3\n")
    assert not failures(">>> 1 + 1\n2\n")


def test_an_example_begins_with_the_lines_that_it_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "FOLDER", tmp_path)
    (tmp_path / "mine.txt").write_text(
        ">>> import math\n>>> import cmath\n>>> x = [math.pi]\n>>> x[0] += 1\n\n"
        "# area\n>>> area = x[0]\n\n# other, third\n>>> 1\n1\n"
    )
    assert examples.examples("mine") == {
        "area": ">>> import math\n>>> x = [math.pi]\n>>> x[0] += 1\n>>> area = x[0]\n",
        "other": ">>> 1\n1\n",
        "third": ">>> 1\n1\n",
    }
