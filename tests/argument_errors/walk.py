"""Find every public name of the package; a test fails for names that are in no table of calls."""

import importlib
import inspect

# in this order: a function in two modules is listed under the first
FRONT_DOORS = (
    "", "layers", "fast_layers", "layer_utils", "nn", "nn.init", "optim", "schedules", "augment", "solver",
    "checkpoint", "rng", "gradient_check", "testing.gradient_doctor", "classifiers", "classifiers.linear_classifier",
    "classifiers.two_layer_net", "classifiers.fc_net", "classifiers.cnn", "classifiers.autoencoder",
    "classifiers.linear_svm", "classifiers.softmax", "data_utils", "vis_utils", "sweep", "benchmarking.warmup",
    "devices", "features",
)  # fmt: skip
# internal, or with tests of their own
INTERNAL = (
    "arguments",
    "autograd",
    "courses",
    "distributed",
    "environment",
    "fixed_backend",
    "training",
    "testing",
    "benchmarking",
    "cli",
    "output",
    "__main__",
)
HELPERS = {
    "gradient_check": {"Diagnosis"},  # a result
    "testing.gradient_doctor": {"Diagnosis"},  # internal names of modules without __all__
    "optim": {"find", "checked_config", "base_rate", "usual_rate", "next_numbers"},
    "nn.init": {"find", "fans"},
    "nn": {"Buffer", "Parameter"},  # Tensors, with tests of their own
}


ABSTRACT = {  # for derived classes
    "nn.Module.forward", "nn.Module.backward", "nn.ModuleDict.__call__", "classifiers.LinearClassifier.loss",
}  # fmt: skip
# of Modules that define only `forward`, which compute on Tensors: tests/autograd
ON_TENSORS = {"nn.AdaptiveAvgPool2d", "nn.CrossEntropyLoss", "nn.MSELoss"}
HELPING_METHODS = {"check", "gradients", "keep", "weight_and_bias"}  # methods of layers for `Fused`


def modules():
    """Return the public modules, by name."""
    return {name: importlib.import_module(f"fastnn.{name}".rstrip(".")) for name in FRONT_DOORS}


def resolved(name):
    """Return the function, class or method of that name."""
    module = max((door for door in FRONT_DOORS if name.startswith(f"{door}.")), key=len, default="")
    value = importlib.import_module(f"fastnn.{module}".rstrip("."))
    for part in name.removeprefix(f"{module}.").split("."):
        value = getattr(value, part)
    return value


def public():
    """Return functions, classes and methods by `module.name` or `module.Class.method`, each under its first name."""
    names: dict[str, object] = {}
    known: set[int] = set()

    def add(name, value):
        if id(value) not in known:
            known.add(id(value))
            names[name] = value

    for module_name, module in modules().items():
        for name in getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")]):
            value = getattr(module, name)
            elsewhere = not hasattr(module, "__all__") and getattr(value, "__module__", "") != module.__name__
            is_error = inspect.isclass(value) and issubclass(value, Exception)
            if not callable(value) or is_error or elsewhere or name in HELPERS.get(module_name, ()):
                continue
            path = f"{module_name}.{name}".lstrip(".")
            add(path, value)
            if inspect.isclass(value) and not issubclass(value, tuple) and path not in ON_TENSORS:
                for method, function in inspect.getmembers(value, inspect.isfunction):
                    if (not method.startswith("_") or method == "__call__") and method not in HELPING_METHODS:
                        owner = next(kind for kind in value.__mro__ if method in vars(kind))
                        is_public = owner.__name__ in getattr(module, "__all__", ())
                        add(f"{module_name}.{owner.__name__ if is_public else name}.{method}".lstrip("."), function)
    return names


def parameters(function):
    """Return the names of the parameters, without self."""
    return [name for name in inspect.signature(function).parameters if name != "self"]
