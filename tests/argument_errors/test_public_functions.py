"""Invalid arguments of every public function, constructor and method raise the same clear error on every backend, and
change nothing."""

import copy
import inspect
import pkgutil
import types

import pytest
from conftest import AVAILABLE

import fastnn

from . import walk
from .calls_layers import ALIASES
from .kinds import Misspelt, untouched
from .table import STYLE, TABLE

pytestmark = pytest.mark.usefixtures("files")
PUBLIC = walk.public()


def error_of(call, arguments, backend):
    """Return the error of a call, and assert that it did not change its arguments."""
    function = call.make()
    given, owner = copy.deepcopy(arguments), getattr(function, "__self__", None)
    before = untouched(given), untouched(owner)
    with fastnn.use_backend(backend), pytest.raises((ValueError, TypeError)) as caught:
        function(**given)
    assert (untouched(given), untouched(owner)) == before, "an argument was changed"
    return type(caught.value), str(caught.value)


def assert_clear_error(message, parameter, value):
    assert STYLE.match(message), f"no house style: {message}"
    names = [parameter, *ALIASES.get(parameter, ())]
    assert any(name in message for name in names), f"{parameter} is not named: {message}"
    if isinstance(value, Misspelt):
        assert "did you mean" in message
    assert len(message) < 1000


def test_every_public_function_is_in_the_table():
    fed = {name for name, value in PUBLIC.items() if walk.parameters(value)}
    assert fed - set(TABLE) - walk.ABSTRACT == set()


def test_every_module_is_a_front_door_or_internal():
    found = {module.name for module in pkgutil.iter_modules(fastnn.__path__)}
    assert found == {name for name in (*walk.FRONT_DOORS, *walk.INTERNAL) if name and "." not in name}


@pytest.mark.parametrize("name", TABLE)
def test_every_parameter_is_in_the_table(name):
    collected = {"hyperparameters", "more", "changed"}  # `**` arguments
    expected = set(walk.parameters(walk.resolved(name))) - collected
    assert set(TABLE[name].arguments) - {"momentum"} == expected - {"momentum"}


@pytest.mark.parametrize("name", TABLE)
def test_unknown_and_missing_arguments_raise(name):
    """A misspelt keyword, for which the right one is suggested; a missing argument; an extra one."""
    call, function = TABLE[name], TABLE[name].make()
    if (isinstance(function, types.FunctionType) and function.__name__ == "<lambda>") or name == "solver.Solver.resume":
        return  # not names, but arguments collected with stars
    values = call.values()
    for parameter in call.arguments:
        given = {key: value for key, value in values.items() if key != parameter} | {parameter + "s": 1}
        with pytest.raises(TypeError) as caught:
            function(**given)
        assert STYLE.match(str(caught.value))
        assert f"the keyword {parameter}s=1 is unknown" in str(caught.value)
        assert "did you mean" in str(caught.value)
    with pytest.raises(TypeError, match=r"too many positional arguments; expected .*; pass these$"):
        function(*range(30))
    required = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
    ]
    if required:
        with pytest.raises(TypeError, match=f"missing a required (keyword-only )?argument: '{required[0]}'; expected "):
            function()


@pytest.mark.parametrize("name", TABLE)
def test_what_is_valid_is_accepted(name):
    with fastnn.use_backend("vectorized"):
        TABLE[name].make()(**TABLE[name].values())


@pytest.mark.parametrize(
    ("name", "parameter"), [(name, parameter) for name, call in TABLE.items() for parameter in call.arguments]
)
def test_bad_values_raise(name, parameter):
    call = TABLE[name]
    wrong = []
    for value in call.arguments[parameter].bad:
        arguments = {**call.values(), parameter: value}
        try:
            first, *others = (error_of(call, arguments, backend) for backend in AVAILABLE)
            assert_clear_error(first[1], parameter, value)
            assert all(other == first for other in others), "the backends do not agree"
        except (AssertionError, pytest.fail.Exception, Exception) as error:
            wrong.append(f"{parameter}={value!r:.90}: {type(error).__name__} {error!s:.300}")
    assert not wrong, "\n" + "\n".join(wrong)
