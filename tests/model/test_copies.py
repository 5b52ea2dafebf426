"""Copies of objects by `copy` or `pickle` give the same bits as the original."""

import copy
import importlib
import importlib.util
import inspect
import io
import multiprocessing
import pickle
import pkgutil
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import small_solver
from argument_errors import calls_models, calls_nn, walk
from argument_errors.calls_data import DATA
from argument_errors.calls_models import MODELS
from argument_errors.calls_nn import NN
from argument_errors.calls_training import POSITION, TRAINING
from argument_errors.kinds import untouched

import fastnn
from fastnn import autograd, classifiers, data_utils, gradient_check, nn, rng, schedules, testing
from fastnn.augment import Augment
from fastnn.benchmarking import measure
from fastnn.benchmarking import report as benchmark_report
from fastnn.checkpoint import config
from fastnn.classifiers import course_layers, two_layer_net
from fastnn.distributed.ranks import RankError
from fastnn.nn import named_arrays, state_dict
from fastnn.solver import Solver
from fastnn.sweep import grid, sweep, trial
from fastnn.sweep.executors import WorkerDied
from fastnn.testing.conformance import cases, compare, specs
from fastnn.testing.grading import exercises, judging, student
from fastnn.training import nonfinite, sampling
from fastnn.vis_utils import picture

CALLS = {**NN, **TRAINING, **MODELS, **DATA}
PUBLIC = walk.public()
pytestmark = pytest.mark.usefixtures("one_backend")


def copies(value):
    """Return a copy of a value by each method."""
    yield "copy.copy", copy.copy(copy.deepcopy(value))  # which shares mutable state with its original
    yield "copy.deepcopy", copy.deepcopy(value)
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        yield f"pickle protocol {protocol}", pickle.loads(pickle.dumps(value, protocol))
    for name in filter(importlib.util.find_spec, ("cloudpickle", "joblib")):
        module, file = importlib.import_module(name), io.BytesIO()
        module.dump(value, file)
        file.seek(0)
        yield name, getattr(module, "load", pickle.load)(file)


# ---- an object of every class ----


def constructed():
    """Return constructors of objects of the public classes, from the table of valid calls and without seeds."""
    found = {}
    for name in (name for name, kind in PUBLIC.items() if inspect.isclass(kind) and kind is not Solver):
        make, values = CALLS[name].make(), CALLS[name].values()
        found[name] = lambda make=make, values=values: make(**copy.deepcopy(values))
        if "seed" in values:
            rest = {key: value for key, value in values.items() if key not in ("seed", "generator")}
            found[f"{name} without seed"] = lambda make=make, values=rest: make(**copy.deepcopy(values))
    return found


def network(seed=None):
    inner = nn.Linear(4, 5, seed=seed), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout(0.5, seed=seed)
    return nn.Sequential(*inner, nn.Linear(5, 3, seed=seed), reg=0.1)


def solver(seed=None, **options):
    given = {"lr_decay": 0.9, "num_epochs": 2, "batch_size": 6, "num_train_samples": 10, **options}
    return Solver(network(seed), small_solver.data(), seed=seed, verbose=False, update_rule="adam", **given)


def trained(made):
    used(made)
    return made


def fresh(name):
    return CALLS[name].make()(**CALLS[name].values())


def silent(solver):
    """A callback."""


def negative(x):
    return -x


def relu(x):
    return np.maximum(x, 0)


def raised(kind, function, *arguments, **options):
    with pytest.raises(kind) as caught:
        function(*arguments, **options)
    return caught.value


OPTIONS = {
    "schedule": schedules.Warmup(1, then=schedules.Cosine()),
    "transform": small_solver.noisy,
    "callbacks": [silent],
    "sampling": "epoch",
    "clip_norm": 1.0,
    "early_stopping": 2,
}
CHECK = {"like": "relu_forward", "cases": 3, "dtypes": ("float64",), "timed": False}
EXAMPLES = {
    **constructed(),
    "Solver": lambda: solver(0),
    "Solver without seed": solver,
    "Solver with every option": lambda: solver(0, **OPTIONS),
    "Solver of your own model": lambda: small_solver.make(small_solver.Remembering()),
    "Solver that has trained": lambda: trained(solver(0, **OPTIONS)),
    "Solver without seed that has trained": lambda: trained(solver()),
    "Sequential in eval mode": lambda: network(0).eval(),
    "Softmax without seed that has trained": lambda: trained(classifiers.Softmax()),
    "two_layer_net.TwoLayerNet that has trained": lambda: trained(fresh("classifiers.two_layer_net.TwoLayerNet")),
    "Augment of everything": lambda: Augment(padding=1, flip=0.5, cutout=2),
    "Sampler": lambda: sampling.Sampler("f", 20, 4, "epoch"),
    "NamedArrays": lambda: network(0).params,
    "AttributeArrays": lambda: nn.ModuleList([nn.Linear(4, 3, seed=0)]).params,
    "Parameter": lambda: nn.Parameter(np.ones(3)),
    "Buffer": lambda: nn.Buffer(np.ones(3)),
    "Differences": lambda: state_dict.Differences(["a"], []),
    "the source of random numbers": rng.generator,
    "Diagnosis": lambda: gradient_check.diagnose(lambda x: float(np.sum(x**2)), np.ones(3), 2 * np.ones(3), seed=0),
    "Report": lambda: testing.check_kernel(relu, **CHECK),
    "WrongKernel": lambda: raised(testing.WrongKernel, testing.check_kernel, negative, **CHECK),
    "Missing": lambda: compare.Missing("lacks scipy"),
    "WrongResult": lambda: benchmark_report.WrongResult("conv2d_forward: differs"),
    "Tensor": lambda: autograd.Tensor(np.ones(3), requires_grad=True),
    "Extreme": lambda: autograd.Tensor(np.ones((2, 3))).max(1),
    "ReseedingDropout": lambda: course_layers.ReseedingDropout(0.5, 3),
    "Stopped": lambda: nonfinite.Stopped("Solver: loss = nan in iteration 1", float("nan")),
    "RankError": lambda: RankError("Solver: rank 1 of 2 failed (OSError: ...)"),
    "NotDescribed": lambda: config.NotDescribed("the function f"),
    "Case": lambda: next(cases.drawn(specs.FUNCTIONS["relu_forward"], "float64", {}, 0, 1)),
    "Function": lambda: specs.FUNCTIONS["relu_forward"],
    "Fault": lambda: EXAMPLES["WrongKernel"]().report.fault,
    "Cause": lambda: EXAMPLES["WrongKernel"]().report.cause,
    "Figure": lambda: picture.Figure(),
    "Trials": lambda: sweep(lambda params: {"val_acc": 0.5}, grid(x=[1]), verbose=False),
    "Outcome": lambda: trial.failed("no result"),
    "Terms": lambda: trial.terms(0, None),
    "WorkerDied": lambda: WorkerDied("the process of the trial was killed"),
    "Finding": lambda: judging.Finding("relu_forward", "wrong", "out = 1", ("Line 1",), "sign"),
    "Exercise": lambda: exercises.EXERCISES["affine_backward"],
    "CourseFunction": lambda: exercises.EXERCISES["affine_backward"].function,
    "TimeLimit": student.TimeLimit,
    "ForwardFailed": lambda: student.ForwardFailed("relu_forward raises"),
    "WrongCount": lambda: cases.WrongCount("returns 1 result"),
    "Backend": lambda: fastnn.backends()[0],
    "BackendUnavailable": lambda: fastnn.BackendUnavailable("set_backend: backend='cuda' cannot run here"),
    "Unsupported": lambda: fastnn.kernels.Unsupported("dilation=(2, 2)", "conv2d_forward: ..."),
    "Transfers": fastnn.transfers,
    "Timing": lambda: measure.Timing(*range(len(measure.Timing._fields))),
}
OTHERS = {
    "TrialLog",  # holds an open file and its lock
    "GraphTraining",  # what a GPU recorded for one Solver
    "Recorded", "AffineChain",  # inside a Sequential
    "Repeated",  # inside a Solver
    "Entry", "Step", "Fused", "Chain", "Deferred", "Slope", "Slopes", "Estimate", "Receiver",  # live inside one call
    "Student", "Clock",  # live in one process
    "Archive", "Cifar10", "ImageSet", "Layout",  # of what is downloaded
    "Stream",  # around one that is open
    "Fusion",  # an attribute of a class
    "Node",  # on a tape, until `backward`
    "DataParallel", "Flat", "Ranks", "Single", "Tree",  # a copy of a Solver has no other ranks
    "MPICommunicator", "NCCLCommunicator",  # the same
    "Case",  # of the gradient doctor and of benchmarks; that of `check_kernel` has an example
}  # fmt: skip


def test_every_class_has_an_example():
    """But for those of the command line, of courses, of the benchmarks' cases and of specifications."""
    outside = ("__main__", "fastnn.cli", "fastnn.courses", "fastnn.kernels.", "fastnn.benchmarking.cases")
    data = "fastnn.kernels.dispatch.specification"
    modules = [module.name for module in pkgutil.walk_packages(fastnn.__path__, "fastnn.")]
    found = {
        kind
        for module in map(
            importlib.import_module, (name for name in modules if not any(one in name for one in outside))
        )
        for name, kind in vars(module).items()
        if inspect.isclass(kind) and kind.__module__.startswith("fastnn") and not name.startswith("_")
        if kind.__module__ != data
    }
    bases = {base for kind in found for base in kind.__mro__[1:]}
    made = {type(make()) for make in EXAMPLES.values()}
    assert {kind for kind in found - bases - made if kind.__name__ not in OTHERS} == set()


# ---- use of the copies ----

DESCENT = {"learning_rate": 0.1, "num_iters": 3, "batch_size": 4}
X, Y = calls_models.X, calls_models.Y


def used(value):
    """Return the results and side effects of using an object, with a fixed seed of NumPy's global state."""
    np.random.seed(7)
    if isinstance(value, Solver):
        value.train()
        return small_solver.everything(value)
    if isinstance(value, classifiers.LinearClassifier):
        return value.train(X, Y, **DESCENT), value.W, value.predict(X)
    if isinstance(value, classifiers.KNearestNeighbor):
        value.train(X, Y)
        return value.predict(X, k=3), value.X_train, value.y_train
    if isinstance(value, two_layer_net.TwoLayerNet):
        return value.train(X, Y, X, Y, **DESCENT), value.params
    if isinstance(value, classifiers.SparseAutoencoder):
        return value.train(X, num_epochs=2, batch_size=3), value.params
    if isinstance(value, nn.Sequential):
        return value.training, small_solver.everything(trained(small_solver.make(value, parts=images_of(value))))
    if isinstance(value, (nn.ModuleList, nn.ModuleDict)):
        return [module(calls_nn.ROWS) for module in value.children()], dict(value.params), list(value.parameters())
    if isinstance(value, (nn.CrossEntropyLoss, nn.MSELoss)):
        target = calls_nn.LABELS if isinstance(value, nn.CrossEntropyLoss) else 2 * calls_nn.ROWS
        return value(autograd.Tensor(calls_nn.ROWS), autograd.Tensor(target)).numpy()
    if isinstance(value, nn.AdaptiveAvgPool2d):
        return value(calls_nn.IMAGES)
    if isinstance(value, nn.Module) and type(value) is not nn.Module:
        x = calls_nn.INPUTS.get(type(value), calls_nn.ROWS)
        out, cache = value.forward(x)
        return out, value.backward(np.ones_like(out), cache), dict(value.params), dict(value.buffers)
    if isinstance(value, Augment):
        return value(calls_nn.IMAGES)
    if isinstance(value, data_utils.DataLoader):
        return [[part.numpy() for part in batch] for batch in value]
    if isinstance(value, data_utils.SubsetRandomSampler):
        return list(value)
    if isinstance(value, autograd.Tensor):
        return value.detach().numpy(), value.requires_grad
    if isinstance(value, sampling.Sampler):
        return [value.draw(iteration, rng.generator()) for iteration in range(7)]
    if type(value).__module__ == "fastnn.schedules" and callable(value):
        return value(POSITION)
    if value is rng.generator():
        return value.normal(size=3), rng.get_state(value)
    parts = dict(value) if isinstance(value, named_arrays.NamedArrays) else getattr(value, "__dict__", {})
    return (repr(value), str(value), parts) if type(value) is not picture.Figure else value.get_size_inches()


def images_of(network):
    """A data set that a network takes."""
    arguments = config.describe(network)["arguments"] if isinstance(network, nn.Module) else {}
    shape = arguments.get("input_dim", len(next(iter(network.params.values()))))
    images = np.random.default_rng(0).normal(size=(9, *np.atleast_1d(shape)))
    return {"X_train": images[:6], "y_train": Y, "X_val": images[6:], "y_val": Y[:3]}


@pytest.mark.parametrize("name", EXAMPLES)
def test_copies_do_what_the_original_does(name):
    original = EXAMPLES[name]()
    made = list(copies(original))
    expected = untouched(used(original))
    for how, copied in made:
        assert untouched(used(copied)) == expected, how


@pytest.mark.parametrize("seed", [0, None])
def test_a_solver_is_copied_while_it_trains(seed, tmp_path):
    """Inside a callback, while its checkpoint is locked; the copy continues training after the original ended."""
    made, state_then = [], []

    def take_copies(solver):
        if solver.iteration == 4 and not made:
            state_then.append(rng.get_state(solver._generator))
            solver.callbacks = []
            made.extend(copies(solver))

    original = solver(seed, checkpoint_name=str(tmp_path / "run.h5"))
    original.callbacks = [take_copies]
    original.train()
    expected = untouched(small_solver.everything(original))
    for how, copied in made:
        rng.set_state(copied._generator, state_then[0])
        copied.train()
        assert untouched(small_solver.everything(copied)) == expected, how


@pytest.mark.parametrize("name", [name for name, value in PUBLIC.items() if inspect.isroutine(value)])
def test_functions_are_pickled_by_name(name):
    function = PUBLIC[name]
    assert all(copied is function for _, copied in copies(function))


def test_process_pools_train_models():
    """In a new process, in which classes, functions and the state of a solver come from a pickle."""
    model, parts = classifiers.Softmax(), (X, Y)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, fastnn.reset_seed, (7,)) as pool:
        there = pool.submit(model.train, *parts, **DESCENT).result()
    np.random.seed(7)
    assert there == model.train(*parts, **DESCENT)
