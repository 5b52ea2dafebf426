"""The functions of `updates` as data: see `dispatch.specification`."""

from ..dispatch.specification import ANY, Floats, Function, Number, Timed, sizes

W = Floats(ANY)
FRACTION = Number((0.9, 0.5), minimum=0, below=1)
NUMBERS = {
    "t": Number((1, 2, 1000), minimum=1, integer=True),
    "learning_rate": Number((0.5, 0.1), minimum=0),
    **{
        "momentum": FRACTION,
        "decay_rate": FRACTION,
        "beta1": FRACTION,
        "beta2": FRACTION._replace(choices=(0.99, 0.5)),
    },
    "epsilon": Number((0.1, 0.5), above=0),
    "weight_decay": Number((0.0, 0.25), minimum=0),
}
RULES = {  # the state of each rule, and its numbers
    "sgd": ("", "learning_rate weight_decay"),
    "momentum": ("velocity", "learning_rate momentum weight_decay"),
    "nesterov": ("velocity", "learning_rate momentum weight_decay"),
    "rmsprop": ("cache", "learning_rate decay_rate epsilon weight_decay"),
    "adagrad": ("cache", "learning_rate epsilon weight_decay"),
    "adam": ("m v", "t learning_rate beta1 beta2 epsilon weight_decay"),
    "adamw": ("m v", "t learning_rate beta1 beta2 epsilon weight_decay"),
}
POSITIVE = ("cache", "v")


def _function(rule):
    state, numbers = (words.split() for words in RULES[rule])
    arrays = {"w": W, "dw": W, **{name: W._replace(positive=name in POSITIVE) for name in state}, "out": W}
    return Function(
        f"{rule}_update", {**arrays, **{name: NUMBERS[name] for name in numbers}}, (), written=("out", *state)
    )


FUNCTIONS = tuple(map(_function, RULES))


def _timed(rule):
    arrays = 3 + 2 * len(RULES[rule][0].split())  # w, dw and the state are read, w and the state are written
    return Timed(
        f"{rule}_update",
        {"update": f"{rule}_update"},
        (sizes((4_100_000,), headline=rule == "adam"),),
        lambda s, itemsize: {"update": float(itemsize * s["w"] * arrays)},
        numbers={"learning_rate": 1e-3, "decay_rate": 0.99, "epsilon": 1e-8, "t": 5, "in_place": True},
    )


TIMED = tuple(map(_timed, RULES))
