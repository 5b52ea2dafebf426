"""What each course calls what: course -> edition -> module -> fastnn's modules, names and keywords.

An entry of a module is `Module(sources, names)`: all public names of the sources, then single ones, which are
"module:name" or `Adapted`. `Module` without names is an alias. A course has editions by the year in which a meaning
changed; the newest has the course's plain name, "cs231n", the others are called "cs231n_2017".
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from . import keywords
from .adapters import Adapted


class Module(NamedTuple):
    """The names of a module of a course."""

    sources: tuple[str, ...] = ()
    names: Mapping[str, "str | Adapted"] = {}


class Course(NamedTuple):
    """A course: what it is, the names of its packages, its editions by first year, and further names of modules.

    A course without editions has modules of its own, in `fastnn/courses/<name>/`.
    """

    title: str
    packages: tuple[str, ...]
    editions: Mapping[int, Mapping[str, Module]]
    others: Mapping[str, str] = {}  # names of packages and modules beside the notebooks -> full names of ours

    @property
    def newest(self) -> int:
        return max(self.editions, default=0)


def _modules(**entries: str | Module) -> dict[str, Module]:
    """Return modules by name; an underscore in a keyword's name stands for a dot if it is doubled."""
    return {
        name.replace("__", "."): Module((entry,)) if isinstance(entry, str) else entry
        for name, entry in entries.items()
    }


def _renamed(modules: Mapping[str, Module], **names: Mapping[str, Any]) -> dict[str, Module]:
    """Return modules with some names replaced or added."""
    changed = dict(modules)
    for module, added in names.items():
        key = module.replace("__", ".")
        changed[key] = Module(changed[key].sources, {**changed[key].names, **added})
    return changed


_FC_NET = "fastnn.classifiers.fc_net:FullyConnectedNet"
_FC_ORDER = (
    "hidden_dims", "input_dim", "num_classes", "dropout", "use_batchnorm", "reg", "weight_scale", "dtype", "seed",
)  # fmt: skip
_LATER = {"dropout": keywords.keep_ratio, "use_batchnorm": keywords.use_batchnorm}
_SOLVER = Adapted("fastnn.solver:Solver", keywords={"update_rule": keywords.update_rule})

# Everything that assignments 1 and 2 import, in the newest edition.
_SHARED = _modules(
    data_utils=Module(
        ("fastnn.data_utils",),
        {"get_CIFAR10_data": Adapted("fastnn.data_utils:get_CIFAR10_data", defaults={"dtype": "float64"})},
    ),
    fast_layers="fastnn.fast_layers",
    features="fastnn.features",
    gradient_check="fastnn.gradient_check",
    layer_utils="fastnn.layer_utils",
    layers="fastnn.layers",
    optim="fastnn.optim",
    solver=Module((), {"Solver": _SOLVER}),
    vis_utils="fastnn.vis_utils",
)
_LINEAR = {
    "LinearClassifier": "fastnn.classifiers:LinearClassifier",
    "LinearSVM": "fastnn.classifiers:LinearSVM",
    "Softmax": "fastnn.classifiers:Softmax",
}
_TWO_LAYER_NET = Adapted(
    "fastnn.classifiers.two_layer_net:TwoLayerNet",
    ("input_size", "hidden_size", "output_size", "std"),
    defaults={"dtype": "float64"},
)
_CS231N_2021 = _SHARED | _modules(
    classifiers=Module((), {"KNearestNeighbor": "fastnn.classifiers:KNearestNeighbor", **_LINEAR}),
    classifiers__cnn="fastnn.classifiers.cnn",
    classifiers__fc_net=Module(
        ("fastnn.classifiers.fc_net",),
        {"FullyConnectedNet": Adapted(_FC_NET, keywords=_LATER, check=keywords.of_one_edition)},
    ),
    classifiers__k_nearest_neighbor="fastnn.classifiers.k_nearest_neighbor",
    classifiers__linear_classifier=Module(("fastnn.classifiers.linear_classifier",), _LINEAR),
    classifiers__linear_svm="fastnn.classifiers.linear_svm",
    classifiers__neural_net=Module((), {"TwoLayerNet": _TWO_LAYER_NET}),
    classifiers__softmax="fastnn.classifiers.softmax",
)
_CS231N_2018 = _renamed(
    _CS231N_2021,
    classifiers__fc_net={
        "FullyConnectedNet": Adapted(
            _FC_NET,
            ("hidden_dims", "input_dim", "num_classes", "dropout", "normalization", *_FC_ORDER[5:]),
            _LATER,
            check=keywords.of_one_edition,
        )
    },
)
_DROPPING = {
    "dropout_forward": Adapted("fastnn.layers:dropout_forward", keywords={"dropout_param": keywords.dropping_param})
}
_CS231N_2017 = _renamed(
    _CS231N_2021,
    classifiers__fc_net={
        "FullyConnectedNet": Adapted(
            _FC_NET, _FC_ORDER, {"dropout": keywords.drop_ratio, "use_batchnorm": keywords.use_batchnorm}
        ),
        **_DROPPING,
    },
    classifiers__cnn=_DROPPING,
    layers=_DROPPING,
)
_HALVED = {"reg": keywords.half}
_CS231N_2015 = _renamed(
    _CS231N_2017,
    classifiers=(halved := {name: f"fastnn.courses.half_penalty:{name}" for name in ("LinearSVM", "Softmax")}),
    classifiers__linear_classifier=halved,
    classifiers__linear_svm={
        name: Adapted(f"fastnn.classifiers.linear_svm:{name}", keywords=_HALVED)
        for name in ("svm_loss_naive", "svm_loss_vectorized")
    },
    classifiers__softmax={
        name: Adapted(f"fastnn.classifiers.softmax:{name}", keywords=_HALVED)
        for name in ("softmax_loss_naive", "softmax_loss_vectorized")
    },
    classifiers__neural_net={"TwoLayerNet": "fastnn.courses.half_penalty:TwoLayerNet"},
)

_CS182 = _renamed(
    _SHARED
    | _modules(
        classifiers=Module(),
        classifiers__cnn=Module(("fastnn.classifiers.cnn",), _DROPPING),
        classifiers__fc_net=Module(
            ("fastnn.classifiers.fc_net",),
            {"FullyConnectedNet": "fastnn.courses.berkeley:FullyConnectedNet", **_DROPPING},
        ),
        solver=Module((), {"Solver": "fastnn.courses.berkeley:Solver"}),
    ),
    layers=_DROPPING,
)

_UCLA_LAYERS = Module(("fastnn.layers",))
_UCLA_UTILS = Module(
    ("fastnn.layer_utils",),
    {
        "affine_batchnorm_relu_backward": "fastnn.layer_utils:affine_bn_relu_backward",
        "affine_batchnorm_relu_forward": "fastnn.layer_utils:affine_bn_relu_forward",
    },
)
_UCLA_FC_ORDER = ("input_dim", "hidden_dims", "num_classes", "dropout", "weight_scale", "reg")
_NNDL = _modules(
    cnn="fastnn.classifiers.cnn",
    conv_layer_utils=_UCLA_UTILS,
    conv_layers=_UCLA_LAYERS,
    fc_net=Module(
        ("fastnn.classifiers.fc_net",),
        {
            "FullyConnectedNet": Adapted(
                _FC_NET, _FC_ORDER, {"dropout": keywords.keep_or_none, "use_batchnorm": keywords.use_batchnorm}
            ),
            "TwoLayerNet": Adapted(
                "fastnn.classifiers.fc_net:TwoLayerNet",
                _UCLA_FC_ORDER,
                {"hidden_dims": "hidden_dim", "dropout": keywords.ignored},
            ),
        },
    ),
    knn=Module((), {"KNN": "fastnn.courses.ucla:KNN"}),
    layer_tests="fastnn.courses.layer_tests",
    layer_utils=_UCLA_UTILS,
    layers=_UCLA_LAYERS,
    neural_net=Module((), {"TwoLayerNet": "fastnn.courses.ucla:TwoLayerNet"}),
    optim="fastnn.courses.ucla_optim",
    softmax=Module((), {"Softmax": "fastnn.courses.ucla:Softmax"}),
    svm=Module((), {"SVM": "fastnn.courses.ucla:SVM"}),
)
_NNDL[""] = Module((), {name: f"fastnn.courses.ucla:{name}" for name in ("KNN", "SVM", "Softmax", "TwoLayerNet")})

_EECS598_FILES = (
    "a3_helper", "convolutional_networks", "fully_connected_networks", "knn", "linear_classifier",
    "linear_classifier_assignment", "two_layer_net", "two_layer_net_assignment",
)  # fmt: skip

COURSES: dict[str, Course] = {
    "cs231n": Course(
        "CS231n, Stanford",
        ("cs231n",),
        {2015: _CS231N_2015, 2017: _CS231N_2017, 2018: _CS231N_2018, 2021: _CS231N_2021},
    ),
    "nndl": Course("ECE C147/C247, UCLA", ("nndl",), {2018: _NNDL}, {"utils": "fastnn.courses.cs231n"}),
    "cs182": Course("CS182, Berkeley", ("cs182", "deeplearning"), {2018: _CS182}),
    "eecs598": Course(
        "EECS 498/598, Michigan (on torch tensors)",
        ("eecs598",),
        {},
        {name: f"fastnn.courses.eecs598.{name}" for name in _EECS598_FILES},
    ),
    "ite4052": Course(
        "ITE4052 (on torch tensors)",
        ("ite4052",),
        {},
        {name: f"fastnn.courses.ite4052.{name}" for name in ("linear_classifier", "two_layer_net")},
    ),
    "dl": Course("a course on CS231n's assignments", ("dl",), {2021: _CS231N_2021}),
}


def editions(name: str) -> dict[str, Mapping[str, Module]]:
    """Return the modules of each edition of a course by the name of the edition, such as cs231n and cs231n_2017."""
    course = COURSES[name]
    return {name if year == course.newest else f"{name}_{year}": found for year, found in course.editions.items()}


def packages(name: str, edition: str) -> dict[str, str]:
    """Return {name of a package: full name of ours} for an edition of a course."""
    return dict.fromkeys(COURSES[name].packages, edition) | dict(COURSES[name].others)


_BY_NAME = {edition: modules for name in COURSES for edition, modules in editions(name).items()}


def find(edition: str, module: str) -> Module | None:
    """Return a module of an edition; "" is the package itself."""
    modules = _BY_NAME.get(edition)
    if modules is None:
        return None
    return modules.get(module, Module() if not module else None)


def has_modules(edition: str, module: str) -> bool:
    """Whether a module is a package."""
    return not module or any(name.startswith(f"{module}.") for name in _BY_NAME[edition])
