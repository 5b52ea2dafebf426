"""Tests of backends of other packages, installed and run in subprocesses."""

import textwrap
from importlib import metadata
from pathlib import Path

import pytest
from installed_packages import run

import fastnn
from fastnn.kernels.dispatch import plugins, switch

ROOT = Path(__file__).parents[3]


def printed(folder, code, **environment):
    done = run(folder, "-W", "error", "-c", textwrap.dedent(code), **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


TRUSTY = {
    "trusty/__init__.py": "print('trusty is imported')",
    "trusty/kernels/__init__.py": "",
    "trusty/kernels/affine.py": """
        def affine_forward(x, w, b):
            assert x.flags.c_contiguous and x.dtype == w.dtype == b.dtype
            return x @ w + b
    """,
}
GROUP = "fastnn.backends"


def test_a_backend_of_another_package_is_one_of_the_backends(site):
    folder = site("trusty", TRUSTY, GROUP, {"trusty": "trusty.kernels"})
    code = """
        import numpy as np
        import fastnn
        from fastnn.kernels import affine
        x = np.arange(6)[::-1].reshape(2, 3)
        expected = affine.affine_forward(x, np.eye(3), np.ones(3)) if fastnn.set_backend("naive") is None else None
        print("before")
        fastnn.set_backend("trusty")
        print(fastnn.get_backend(), (affine.affine_forward(x, np.eye(3), np.ones(3)) == expected).all())
        print([line.name for line in fastnn.backends()])
        print(fastnn.backends()[-1])
        with fastnn.use_backend("naive"), fastnn.use_backend("trusty"):
            print(fastnn.get_backend())
    """
    assert printed(folder, code) == [
        "before",
        "trusty is imported",  # only when it is selected
        "trusty True",
        "['naive', 'vectorized', 'njit', 'cuda', 'trusty']",
        "Backend(name='trusty', available=True, reason='', remedy='', device='another package: trusty.kernels')",
        "trusty",
    ]
    code = "import fastnn; print(fastnn.get_backend())"
    assert printed(folder, code, FASTNN_BACKEND="trusty")[-1] == "trusty"


def test_functions_are_called_with_the_parameters_of_the_public_functions(site):
    """Arguments are positional; strides and padding are pairs."""
    kernels = """
        class conv2d:
            def conv2d_forward(x, w, b, stride, pad):
                print(x.shape, w.shape, b.shape, stride, pad)
            def conv2d_backward(dout, x, w, stride, pad, need_dx):
                print(dout.shape, stride, pad, need_dx)
        class pool2d:
            def max_pool2d_forward(x, size, stride, pad):
                print(x.shape, size, stride, pad)
            def max_pool2d_backward(dout, index, x_shape, size, stride, pad):
                print(dout.shape, index.dtype, x_shape, size, stride, pad)
            def global_avg_pool2d_forward(x):
                print(x.shape)
        class fused:
            def conv2d_relu_pool_backward(dout, x, w, index, stride, pad, pool_size, pool_stride, need_dx):
                print(stride, pad, pool_size, pool_stride, need_dx)
        operations = {"conv2d": conv2d, "pool2d": pool2d, "fused": fused}
    """
    folder = site("mine", {"mine.py": kernels}, GROUP, {"mine": "mine:operations"})
    code = """
        import numpy as np
        import fastnn
        from fastnn.kernels import conv2d, fused, pool2d
        x, w, b, index = np.ones((2, 3, 5, 7)), np.ones((4, 3, 2, 1)), np.ones(4), np.zeros((2, 3, 4, 4), int)
        with fastnn.use_backend("mine"):
            conv2d.conv2d_forward(x, w, b, (1, 2), 1)
            conv2d.conv2d_backward(np.ones((2, 4, 6, 5)), x, w, (1, 2), 1, False)
            pool2d.max_pool2d_forward(x, (2, 3), 100, (0, 1))
            pool2d.max_pool2d_backward(np.ones((2, 3, 4, 4)), index, (2, 3, 5, 7), (2, 1), (1, 2), 0)
            pool2d.global_avg_pool2d_forward(x)
            fused.conv2d_relu_pool_backward(np.ones((2, 4, 2, 7)), x, w, np.zeros((2, 4, 2, 7), int), 1, 0, (3, 1), 1)
    """
    assert printed(folder, code) == [
        "(2, 3, 5, 7) (4, 3, 2, 1) (4,) (1, 2) (1, 1)",
        "(2, 4, 6, 5) (1, 2) (1, 1) False",
        "(2, 3, 5, 7) (2, 3) (4, 7) (0, 1)",
        "(2, 3, 4, 4) uint8 (2, 3, 5, 7) (2, 1) (1, 2) (0, 0)",
        "(2, 3, 5, 7)",
        "(1, 1) (0, 0) (3, 1) (1, 1) True",
    ]


def test_missing_functions_raise_an_error(site):
    folder = site("trusty", TRUSTY, GROUP, {"trusty": "trusty.kernels"})
    code = """
        import numpy as np
        import fastnn
        from fastnn.kernels import activations, affine
        fastnn.set_backend("trusty")
        one = np.ones((1, 1))
        for call in (lambda: activations.relu_forward(one), lambda: affine.affine_backward(one, one, one)):
            try:
                call()
            except NotImplementedError as error:
                print(error)
    """
    assert printed(folder, code)[1:] == [
        "activations: backend='trusty' has no kernels for this operation; expected 'naive' or 'vectorized' or 'njit' "
        "or 'cuda', and nothing falls back to another one; call it under use_backend('cuda')",
        "affine_backward: backend='trusty' has no such function for affine; expected one, and nothing falls back to "
        "another backend; call it under use_backend('njit')",
    ]


LIMITED = {
    "limited.py": """
        import fastnn
        from fastnn.kernels import conv2d as ours, Unsupported
        from fastnn.kernels.affine import naive
        from fastnn.kernels.losses import naive as losses
        class affine:
            def affine_forward(x, w, b):
                if x.dtype == "float32":
                    raise Unsupported("float32")
                return x @ w + b
            def affine_backward(dout, x, w):
                return naive.affine_backward(dout, x, w, True)
        class loss:
            def softmax_loss(x, y):
                return losses.softmax_loss(x, y, 0.0)
        class conv2d:
            @fastnn.use_backend("vectorized")
            def conv2d_forward(x, w, b, stride, pad):
                return ours.conv2d_forward(x, w, b, stride, pad)
        operations = {"affine": affine, "conv2d": conv2d, "losses": loss}
    """
}


def test_unsupported_features_raise_an_error(site):
    """The last parameters may be missing, and a function may raise Unsupported."""
    folder = site("limited", LIMITED, GROUP, {"limited": "limited:operations"})
    code = """
        import copy, pickle
        import numpy as np
        import fastnn
        from fastnn import layers, nn
        from fastnn.kernels import affine, conv2d, losses, Unsupported
        x, w, y = np.ones((2, 3)), np.ones((3, 4)), np.zeros(2, int)
        with fastnn.use_backend("limited"):
            print(*(part.shape for part in affine.affine_backward(np.ones((2, 4)), x, w)))
            print(nn.Conv2d(1, 1, 3, padding=1).forward(np.ones((2, 1, 5, 5)))[0].shape)
            print(losses.softmax_loss(x, y)[1].shape, losses.softmax_loss(x, y, 0)[1].shape)
            for call in (
                lambda: affine.affine_backward(np.ones((2, 4)), x, w, False),
                lambda: losses.softmax_loss(x, y, label_smoothing=0.5),
                lambda: nn.Conv2d(1, 1, 3, padding=2, dilation=(2, 1)).forward(np.ones((2, 1, 5, 5))),
                lambda: layers.affine_forward(*(array.astype(np.float32) for array in (x, w, w[0]))),
            ):
                try:
                    call()
                except Unsupported as error:
                    assert isinstance(error, NotImplementedError)
                    assert str(pickle.loads(pickle.dumps(error))) == str(copy.copy(error)) == str(error)
                    print(error.name, "|", error)
    """
    rest = "expected a backend that does, and nothing falls back to another one; call it under use_backend('njit')"
    assert printed(folder, code) == [
        "(2, 3) (3, 4) (4,)",
        "(2, 1, 5, 5)",
        "(2, 3) (2, 3)",
        f"need_dx | affine_backward: backend='limited' does not support need_dx=False; {rest}",
        f"label_smoothing | softmax_loss: backend='limited' does not support label_smoothing=0.5; {rest}",
        f"dilation | conv2d_forward: backend='limited' does not support dilation=(2, 1); {rest}",
        f"float32 | affine_forward: backend='limited' does not support float32; {rest}",
    ]


def test_unsupported_features_are_not_checked(site):
    folder = site("limited", LIMITED, GROUP, {"limited": "limited:operations"})
    command = [
        "-m",
        "fastnn",
        "check",
        "--backend",
        "limited",
        "--operation",
        "affine",
        "conv2d",
        "losses",
        "--cases",
        "8",
    ]
    done = run(folder, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    some = "affine_forward with float32, affine_backward with need_dx, conv2d_forward with dilation, conv2d_backward"
    assert f"\nlimited lacks {some}, softmax_loss with label_smoothing, svm_loss, mse_loss\n" in done.stdout
    assert "| affine    | float32, float64 |\n| conv2d    | float32, float64 |\n" in done.stdout
    assert done.stdout.endswith("all are right\n")


def test_check_finds_a_wrong_function(site):
    wrong = """
        class affine:
            def affine_forward(x, w, b):
                return x @ w
        operations = {"affine": affine}
    """
    folder = site("wrong", {"wrong.py": wrong}, GROUP, {"wrong": "wrong:operations"})
    command = ["-m", "fastnn", "check", "--backend", "wrong", "--operation", "affine", "augment", "--cases", "4"]
    done = run(folder, *command)
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    assert "wrong does not do what affine_forward does: out[0, 0] = " in done.stdout
    assert "Probable cause: bias: the bias b is left out." in done.stdout
    assert "| affine    | float32 WRONG, float64 WRONG |\n| augment   | -                            |" in done.stdout
    assert "\nwrong lacks affine_backward, augment_images\n" in done.stdout


def test_broken_backends_are_unavailable_with_a_reason(site):
    files = {"broken.py": "import sys; sys.exit('no\\nlicence')", "number.py": "VALUE = 3"}
    points = {
        "quits": "broken",
        "absent": "nowhere.kernels",
        "three": "number:VALUE",
        "njit": "number",
        "auto": "number",
        "twice": "number",
    }
    site("broken-package", files, GROUP, points)
    folder = site("other-package", {}, GROUP, {"twice": "number"})
    code = """
        import fastnn
        for line in fastnn.backends()[4:]:
            print(line.available, line.name, "|", line.reason, "|", line.remedy)
        for name in ("quits", "njit of broken-package", "twise"):
            try:
                fastnn.set_backend(name)
            except (ValueError, fastnn.BackendUnavailable) as error:
                print(type(error).__name__, error)
        fastnn.set_backend("naive")
    """
    remedy = "reinstall or update broken-package"
    *lines, first, second, third = printed(folder, code)
    assert lines == [
        f"False absent | loading 'nowhere.kernels' of broken-package failed (ModuleNotFoundError: No module named "
        f"'nowhere') | {remedy}",
        "False auto of broken-package | the name 'auto' is reserved by fastnn | ask the authors of broken-package for "
        "another",
        "False njit of broken-package | the name 'njit' is reserved by fastnn | ask the authors of broken-package for "
        "another",
        f"False quits | loading 'broken' of broken-package failed (SystemExit: no licence) | {remedy}",
        "False three | 'number:VALUE' of broken-package is of type int, neither a package nor a mapping of operations "
        "| ask the authors of broken-package to fix it",
        "False twice | more than one package offers it: broken-package, other-package | uninstall all but one of them",
    ]
    assert first == (
        "BackendUnavailable set_backend: backend='quits' cannot run here: loading 'broken' of broken-package failed "
        f"(SystemExit: no licence); {remedy}"
    )
    assert "cannot run here: the name 'njit' is reserved by fastnn" in second
    assert third.startswith("ValueError set_backend: backend='twise' is unknown; expected one of 'naive', ")
    assert third.endswith("'twice'; did you mean 'twice'?")


def test_packages_are_searched_only_for_unknown_names(monkeypatch):
    monkeypatch.setattr(plugins, "offered", lambda reserved: pytest.fail("it takes longer than importing fastnn"))
    for name in ("naive", "vectorized"):
        with fastnn.use_backend(name):
            assert fastnn.get_backend() == name
    code = "import sys, numpy, fastnn; print('importlib.metadata' in sys.modules)"
    assert printed(ROOT, f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}") == ["False"]


def test_functions_are_looked_up_once():
    point = metadata.EntryPoint("mine", "math", GROUP)
    assert plugins.variant(point, "affine") is None
    functions = plugins.Functions("affine", "mine", switch)
    assert functions.get_backend is switch.get_backend
    assert "get_backend" in vars(functions)
