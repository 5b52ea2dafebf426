"""Valid calls for training: update rules, schedules, augmentation, Solver, gradient checks, checkpoints."""

import numpy as np
import small_solver

import fastnn
from fastnn import augment, checkpoint, gradient_check, optim, rng, schedules
from fastnn.autograd import Tensor
from fastnn.benchmarking import warmup
from fastnn.kernels.updates import rules
from fastnn.solver import Solver

from .calls_layers import X
from .kinds import (
    NOTHING,
    Call,
    Fed,
    array,
    choice,
    dtype,
    flag,
    function,
    instance,
    integer,
    keys,
    number,
    path,
    required,
    seed,
)  # fmt: skip

TRAINING: dict[str, Call] = {
    "set_backend": Call(lambda: fastnn.set_backend, name=choice("vectorized")),
    "use_backend": Call(lambda: lambda name: fastnn.use_backend(name).__enter__(), name=choice("vectorized")),
    "to_device": Call(lambda: fastnn.to_device, array=array(X, any_rank=True, wide=[np.float16])),
    "to_numpy": Call(lambda: fastnn.to_numpy, array=array(X, any_rank=True, wide=[np.float16])),
    "reset_seed": Call(lambda: fastnn.reset_seed, seed=integer(0, 0)),
}

W, DW = np.ones((3, 2)), np.full((3, 2), 0.5)
WORDS = {"minimum": "least", "above": "above", "below": "below"}
LIMITS = {name: {WORDS[word]: limit for word, limit in limits.items()} for name, limits in rules.LIMITS.items()}
for name, defaults in optim.DEFAULTS.items():
    numbers = {key: number(value, **LIMITS[key]) for key, value in defaults.items() if key != "t"}
    state = {key: array(np.zeros_like(W)) for key in optim.STATE[name]}
    count = {"t": integer(0, 0)} if "t" in defaults else {}
    TRAINING[f"optim.{name}"] = Call(
        lambda name=name: getattr(optim, name),
        w=array(W, any_rank=True), dw=array(DW), config=keys(none=True, **numbers, **count, **state),
        out=array(np.empty_like(W), none=True),
    )  # fmt: skip
GRADIENTS = {"W": np.ones(3), "b": np.ones(2)}
BAD_GRADIENTS = [None, 3, "a", NOTHING, [np.ones(2)], {"W": "a"}, {"W": None}, {"W": np.ones(2) > 0, "b": 1j}]
TRAINING |= {
    "optim.clip_by_norm": Call(
        lambda: optim.clip_by_norm, gradients=Fed(GRADIENTS, BAD_GRADIENTS), limit=number(1.0, above=0)
    ),
    "optim.update": Call(
        lambda: optim.update,
        rule=function(optim.sgd),
        params=Fed({"W": np.ones(3)}, [None, 3, "a", NOTHING, {}, {"W": "a"}, {"W": [1.0]}, {"V": np.ones(3)}]),
        grads=Fed({"W": np.ones(3)}, [None, 3, "a", NOTHING, {}, {"W": "a"}, {"V": np.ones(3)}, {"W": np.ones(4)}]),
        configs=Fed({"W": {"learning_rate": 0.1}}, [None, 3, "a", NOTHING, {"W": 3}, {"W": {"learning_rtae": 1}}]),
    ),
}

# ---- optimizers ----

TENSOR = Tensor(W, requires_grad=True)
BETA = number(0.9, least=0, below=1)
BETAS = Fed((0.9, 0.99), [None, 3, "a", NOTHING, {}, (0.9,), np.ones(2), *((0.9, wrong) for wrong in BETA.bad)])
OPTIONS = {name: number(0.1, **LIMITS[key]) for name, key in {
    "lr": "learning_rate", "momentum": "momentum", "weight_decay": "weight_decay", "alpha": "decay_rate",
    "eps": "epsilon", "lr_decay": "weight_decay", "initial_accumulator_value": "weight_decay",
}.items()} | {"betas": BETAS, "nesterov": flag()}  # fmt: skip
OFF = Fed(0, ["a", NOTHING, {}, [0], np.ones(2), 0.5, -1, True, np.nan, None])  # options without a kernel
PARAMETERS = Fed([TENSOR], [None, 3, "a", NOTHING, {}, [], TENSOR, W, [W], [TENSOR * 2], [Tensor(W)], [None]])
for name, options in {
    "SGD": ("lr", "momentum", "weight_decay", "nesterov"), "RMSprop": ("lr", "alpha", "eps", "weight_decay"),
    "Adagrad": ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"),
    "Adam": ("lr", "betas", "eps", "weight_decay"), "AdamW": ("lr", "betas", "eps", "weight_decay"),
    "Lion": ("lr", "betas", "weight_decay"),
}.items():  # fmt: skip
    off = {"SGD": ["dampening"], "RMSprop": ["momentum", "centered"], "Adam": ["amsgrad"], "AdamW": ["amsgrad"]}
    TRAINING[f"optim.{name}"] = Call(
        lambda name=name: getattr(optim, name), params=PARAMETERS, **{option: OPTIONS[option] for option in options},
        **dict.fromkeys(off.get(name, ()), OFF),
    )  # fmt: skip
SAVED_OPTIMIZER = optim.SGD([TENSOR]).state_dict()
TRAINING |= {
    "optim.SGD.add_param_group": Call(
        lambda: optim.SGD([TENSOR]).add_param_group,
        param_group=Fed({"params": [Tensor(W, requires_grad=True)]}, [None, 3, "a", NOTHING, [], {}, {"lr": 1}]),
    ),
    "optim.SGD.load_state_dict": Call(
        lambda: optim.SGD([TENSOR]).load_state_dict,
        state_dict=required(
            Fed(
                SAVED_OPTIMIZER,
                [None, 3, "a", NOTHING, [], {}, *({**SAVED_OPTIMIZER, name: 3} for name in SAVED_OPTIMIZER)],
            )
        ),
    ),
    "optim.SGD.zero_grad": Call(lambda: optim.SGD([TENSOR]).zero_grad, set_to_none=flag(True)),
}

# ---- schedules, augmentation ----

POSITION = schedules.Position(3, 10, 5, (0.1,))
ACCURACIES = Fed((0.1,), [None, 3, "a", NOTHING, ("a",), (None,)])
HERE = {"iteration": integer(3, 0), "total": integer(10, 1), "iterations_per_epoch": integer(5, 1)}
THEN = function(schedules.Cosine(), none=True)
for kind, arguments in {
    schedules.Position: {**HERE, "val_acc_history": ACCURACIES},
    schedules.Step: {"every": integer(2, 1), "factor": number(0.1, above=0)},
    schedules.Exponential: {"factor": number(0.9, above=0)},
    schedules.Cosine: {"final": number(0.0, least=0)},
    schedules.Warmup: {"length": number(1.0, above=0), "then": THEN},
    schedules.OneCycle: {
        "peak_at": number(0.3, least=0, most=1), "start": number(0.1, least=0), "final": number(0.1, least=0),
        "anneal": choice("cosine"),
    },
    schedules.Plateau: {
        "factor": number(0.1, above=0, below=1), "patience": integer(2, 0), "threshold": number(0.0, least=0),
        "minimum": number(0.0, least=0, most=1),
    },
}.items():  # fmt: skip
    TRAINING[f"schedules.{kind.__name__}"] = Call(lambda kind=kind: kind, **arguments)
    if kind is not schedules.Position:
        given = {key: fed.good for key, fed in arguments.items()}
        TRAINING[f"schedules.{kind.__name__}.__call__"] = Call(
            lambda kind=kind, given=given: kind(**given).__call__, position=instance(POSITION)
        )
TRAINING |= {
    "augment.Augment": Call(
        lambda: augment.Augment, padding=integer(2, 0), flip=number(0.5, least=0, most=1), cutout=integer(2, 0)
    ),
    "augment.Augment.__call__": Call(lambda: augment.Augment(padding=1).__call__, images=array(X), generator=seed()),
}

# ---- Solver ----


class Net(small_solver.Model):
    """The model of the Solver's tests."""


DATA = small_solver.data()
BAD_DATA = [None, 3, "a", NOTHING, [], {}, {**DATA, "y_train": DATA["y_train"][:-1]}, {**DATA, "X_val": None}]
BAD_DATA += [{key: value for key, value in DATA.items() if key != gone} for gone in DATA]
BAD_DATA += [{**DATA, name: wrong} for name in DATA for wrong in (3, "a", NOTHING, {}, DATA[name][:0])]
BAD_DATA += [{**DATA, name: DATA[name].astype(kind)} for name in DATA for kind in (object, complex, str)]
BAD_DATA += [{**DATA, "y_val": DATA["y_val"].astype(float)}, {**DATA, "y_train": DATA["y_train"][:, None]}]
TRAINING |= {
    "solver.Solver": Call(
        lambda: Solver,
        model=instance(Net()),
        data=Fed(DATA, BAD_DATA),
        update_rule=choice("adam", functions=True),
        optim_config=keys(none=True, learning_rate=number(1e-3, least=0), beta1=number(0.9, least=0, below=1)),
        lr_decay=number(0.9, above=0),
        schedule=function(schedules.Cosine(), none=True),
        batch_size=integer(6, 1),
        num_epochs=integer(1, 1),
        num_train_samples=integer(10, 1, none=True),
        num_val_samples=integer(10, 1, none=True),
        early_stopping=integer(2, 1, none=True),
        checkpoint_name=path("run", none=True),
        checkpoint_every=integer(5, 1, none=True),
        print_every=integer(0),
        verbose=flag(),
        seed=seed(),
        sampling=choice("epoch"),
        transform=function(lambda images, generator: images, none=True),
        clip_norm=number(1.0, above=0, none=True),
        on_nonfinite=choice("raise"),
        callbacks=Fed((print,), [3, "a", NOTHING, None, [3], ["print"], print]),
        comm=Fed(None, [3, "a", NOTHING, [], {}, True]),
        shards=Fed(2, [None, 0, -2, 3, 4, 2.5, True, "a", NOTHING, [], np.ones(2)]),
    ),
    "solver.Solver.check_accuracy": Call(
        lambda: small_solver.make().check_accuracy,
        X=Fed(DATA["X_val"], [None, 3, "a", NOTHING, {}, DATA["X_val"][:0], DATA["X_val"][:-1]]),
        y=Fed(DATA["y_val"], [None, 3, "a", NOTHING, {}, DATA["y_val"][:-1], DATA["y_val"] + 0.5]),
        num_samples=integer(4, 1, none=True),
        batch_size=integer(3, 1),
    ),
}
BAD_FILES = ["nowhere.h5", "weights_of_linear.npz"]
SAVED = path("solver.h5")
TRAINING |= {
    "solver.Solver.record_histories_as_npz": Call(
        lambda: small_solver.make().record_histories_as_npz, filename=path("histories")
    ),
    "solver.Solver.save": Call(lambda: small_solver.make().save, path=SAVED),
    "solver.Solver.resume": Call(
        lambda: Solver.resume, path=SAVED, data=Fed(DATA, BAD_DATA), model=instance(Net(), none=True)
    ),
}
STATE = small_solver.make().state()
TRAINING["solver.Solver.load_state"] = Call(
    lambda: small_solver.make().load_state,
    state=required(
        Fed(
            {key: value for key, value in STATE.items() if key not in ("buffers", "best_buffers")},
            [
                None, 3, "a", NOTHING, [], {}, {**STATE, "epcoh": 1}, {**STATE, "batch_size": 7},
                {**STATE, "params": {}}, {**STATE, "params": {**STATE["params"], "W": np.ones(3)}},
                {**STATE, "generator": {}},
            ],
        )
    ),
)  # fmt: skip

# ---- gradients ----


class Blob:
    def __init__(self):
        self.vals, self.diffs = np.ones(2), np.ones(2)

    def __repr__(self):
        return "Blob()"


def square(x):
    return float((x**2).sum())


def into(blob, output):
    output.vals = blob.vals * 2.0


class BlobNet:
    def __init__(self):
        self.x, self.out = Blob(), Blob()

    def forward(self):
        self.out.vals = self.x.vals * 2.0


POINT = np.array([1.0, 2.0])
MOVABLE = Fed(POINT, [None, 3, 1.5, "a", NOTHING, [1.0], np.array([1, 2]), POINT.astype(complex), POINT.astype(object)])
STEP = {"h": number(1e-5, above=0)}
NET = BlobNet()
BLOBS = Fed((NET.x,), [None, 3, "a", NOTHING, (3,), (POINT,), NET.x])
TRAINING |= {
    "gradient_check.eval_numerical_gradient": Call(
        lambda: gradient_check.eval_numerical_gradient, f=function(square), x=MOVABLE, verbose=flag(), **STEP
    ),
    "gradient_check.eval_numerical_gradient_array": Call(
        lambda: gradient_check.eval_numerical_gradient_array, f=function(np.square), x=MOVABLE,
        df=Fed(np.ones(2), [None, "a", NOTHING, {}, np.ones(3), np.ones(2).astype(str), np.ones(2) * 1j]), **STEP,
    ),
    "gradient_check.eval_numerical_gradient_blobs": Call(
        lambda: gradient_check.eval_numerical_gradient_blobs, f=function(into), inputs=BLOBS,
        output=instance(NET.out), **STEP,
    ),
    "gradient_check.eval_numerical_gradient_net": Call(
        lambda: gradient_check.eval_numerical_gradient_net, net=instance(NET), inputs=BLOBS,
        output=instance(NET.out), **STEP,
    ),
    "gradient_check.grad_check_sparse": Call(
        lambda: gradient_check.grad_check_sparse, f=function(square), x=MOVABLE,
        analytic_grad=array(2 * POINT), num_checks=integer(2, 1), **STEP,
    ),
    "gradient_check.compute_numeric_gradient": Call(
        lambda: gradient_check.compute_numeric_gradient, f=function(np.square), x=MOVABLE,
        dLdf=Fed(np.ones(2), ["a", NOTHING, {}, np.ones(3), np.ones(2) * 1j]), **STEP,
    ),
    "gradient_check.rel_error": Call(
        lambda: gradient_check.rel_error,
        x=Fed(POINT, [None, "a", NOTHING, {}, np.ones(3), POINT.astype(str), POINT.astype(object)]),
        y=Fed(POINT, [None, "a", NOTHING, {}, np.ones(3), POINT.astype(str), POINT.astype(object)]),
    ),
    "gradient_check.diagnose": Call(
        lambda: gradient_check.diagnose, f=function(square), x=MOVABLE,
        analytic=Fed(2 * POINT, [None, "a", NOTHING, {}, POINT * 1j, POINT.astype(str), POINT.astype(object)]),
        h=number(1e-5, above=0, none=True), dout=Fed(None, ["a", NOTHING, {}, np.ones(3)]),
        num_checks=integer(1, 1, none=True), seed=seed(),
    ),
}  # fmt: skip

# ---- files, randomness ----

TRAINING |= {
    "checkpoint.save": Call(
        lambda: checkpoint.save, path=path("saved.h5"),
        tree=Fed({"a": 1}, [None, 3, "a", [], NOTHING, {1: 2}, {"a": NOTHING}, {"a": {1, 2}}, {"a": b"c"}, {"": 1}]),
    ),
    "checkpoint.load": Call(lambda: checkpoint.load, path=path("checkpoint.h5")),
    "rng.generator": Call(lambda: rng.generator, seed=seed()),
    "rng.get_state": Call(lambda: rng.get_state, source=instance(np.random.default_rng(0))),
    "rng.set_state": Call(
        lambda: rng.set_state, source=instance(np.random.default_rng(0)),
        state=Fed(rng.get_state(np.random.default_rng(0)), [None, 3, "a", NOTHING, [], {}, {"bit_generator": "a"}]),
    ),
    "benchmarking.warmup.steps": Call(lambda: lambda dtype: next(iter(warmup.steps(dtype))), dtype=dtype()),
}  # fmt: skip
