"""Valid calls of data sets, pictures and sweeps."""

import numpy as np

from fastnn import data_utils, features, sweep, vis_utils

from .kinds import (
    NOTHING,
    Call,
    Fed,
    array,
    choice,
    dtype,
    flag,
    function,
    integer,
    labels,
    number,
    pair,
    path,
    seed,
    shape,
)  # fmt: skip

RNG = np.random.default_rng(0)
PATCHES = RNG.normal(size=(3, 3, 6, 6))
COLOURS = array(PATCHES, wide=[np.float16])
COUNTS = {"num_training": integer(4, 1), "num_validation": integer(2, 0), "num_test": integer(2, 0)}
PIXELS = {"subtract_mean": flag(True), "dtype": dtype(), "preprocessing": flag()}
BEYOND = {name: fed._replace(bad=[*fed.bad, 50_001]) for name, fed in COUNTS.items()}
DATA: dict[str, Call] = {
    "data_utils.get_shapes_data": Call(lambda: data_utils.get_shapes_data, **COUNTS, **PIXELS, seed=seed()),
    "data_utils.get_CIFAR10_data": Call(
        lambda: data_utils.get_CIFAR10_data, **BEYOND, **PIXELS, root=path("cifar", none=True),
    ),
    "data_utils.read_images": Call(
        lambda: data_utils.read_images, path=path("images.npy"), shape=shape((3, 4, 4), scalar=False)
    ),
    "data_utils.load_CIFAR10": Call(lambda: data_utils.load_CIFAR10, root=path("cifar", none=True), dtype=dtype()),
    "data_utils.find_CIFAR10": Call(lambda: data_utils.find_CIFAR10, root=path("cifar", none=True)),
    "data_utils.preprocess_cifar10": Call(
        lambda: data_utils.preprocess_cifar10, bias_trick=flag(), flatten=flag(True),
        validation_ratio=number(0.2, least=0, below=1), dtype=dtype(), show_examples=flag(),
        root=path("cifar", none=True),
    ),
    "data_utils.cut_patches": Call(
        lambda: data_utils.cut_patches, images=COLOURS, count=integer(2, 1), size=integer(4, 1), seed=seed()
    ),
    "data_utils.preprocess_patches": Call(
        lambda: data_utils.preprocess_patches, images=COLOURS._replace(bad=[*COLOURS.bad, PATCHES * np.nan])
    ),
    "data_utils.save_patches": Call(lambda: data_utils.save_patches, path=path("cut.h5"), patches=COLOURS),
    "data_utils.load_patches": Call(lambda: data_utils.load_patches, path=path("patches.h5")),
}  # fmt: skip

# ---- batches ----


def _unchanged(images, generator):
    return images


ROWS, CLASSES = np.ones((4, 3)), np.zeros(4, int)
BAD_ROWS = [None, 3, "a", NOTHING, (), {}, {"X_train": ROWS}, (ROWS, CLASSES[:-1]), (ROWS, None), ROWS[:0]]
BAD_ROWS += [ROWS.astype(kind) for kind in (object, complex, str, np.float16)]
DATA |= {
    "data_utils.DataLoader": Call(
        lambda: data_utils.DataLoader, dataset=Fed((ROWS, CLASSES), BAD_ROWS), batch_size=integer(2, 1),
        shuffle=flag(), sampler=Fed(None, [3, "a", NOTHING, {}]), drop_last=flag(),
        transform=function(_unchanged, none=True), seed=seed(), prefetch=integer(2, 0),
        part=choice("train"),
    ),
    "data_utils.SubsetRandomSampler": Call(
        lambda: data_utils.SubsetRandomSampler, seed=seed(),
        indices=Fed([0, 2], [None, 3, "a", NOTHING, {}, [], [0.5], ["a"], [[1]], [-1], [True], np.ones(2)]),
    ),
}  # fmt: skip

# ---- features ----

COLOURED = RNG.uniform(0, 255, size=(2, 8, 8, 3))
NOT_IMAGES = [None, 3.0, "a", NOTHING, {}, COLOURED[None], COLOURED * 1j, COLOURED.astype(str), COLOURED.astype(object)]
NO_COLOURS = [*NOT_IMAGES, COLOURED[0, 0, 0, 0], COLOURED[0, ..., :2]]
IMAGE = Fed(COLOURED[0], [*NO_COLOURS, COLOURED])
DATA |= {
    "features.extract_features": Call(
        lambda: features.extract_features, imgs=Fed(COLOURED, [*NOT_IMAGES, COLOURED[0, 0]]),
        feature_fns=Fed([features.hog_feature, np.ravel], [None, 3, "ab", NOTHING, {}, [3], np.ravel, [lambda im: im]]),
        verbose=flag(),
    ),
    "features.hog_feature": Call(lambda: features.hog_feature, im=IMAGE),
    "features.rgb2gray": Call(
        lambda: features.rgb2gray,
        rgb=Fed(COLOURED, [bad for bad in NO_COLOURS if np.shape(bad) != (1, 2, 8, 8, 3)]),
    ),
    "features.color_histogram_hsv": Call(
        lambda: features.color_histogram_hsv,
        im=Fed(COLOURED[0], [*IMAGE.bad, COLOURED[0, 0], COLOURED[0] - 100, COLOURED[0] + 100]), nbin=integer(4, 1),
        xmin=number(10.0, below=255), xmax=number(255.0, above=0), normalized=flag(True),
    ),
}  # fmt: skip

# ---- pictures ----

HISTORIES = {"loss_history": [2.0, 1.0], "train_acc_history": [0.1, 0.4], "val_acc_history": [0.1, 0.3]}
BAD_HISTORIES = [None, 3, "a", NOTHING, [], {}, {"loss_history": [1.0]}, {**HISTORIES, "val_acc_history": 3}]
BAD_HISTORIES += [{**HISTORIES, "train_acc_history": wrong} for wrong in ("abc", ["a"], [None], [[1.0]], 1j)]
STATS = Fed(HISTORIES, BAD_HISTORIES)
FILTERS, WEIGHTS = RNG.normal(size=(4, 3, 5, 5)), RNG.normal(size=(12, 3))
NET = Fed(FILTERS, [None, 3, "a", NOTHING, {}, FILTERS[0], FILTERS.astype(str), FILTERS.astype(object), FILTERS * 1j,
                    FILTERS[:0]])  # fmt: skip
FIGURE = {"path": path(None, none=True)}
LAYER = Fed(WEIGHTS, [None, 3, "a", NOTHING, {}, WEIGHTS[0], WEIGHTS[1:], WEIGHTS * 1j, WEIGHTS.astype(str),
                      WEIGHTS.astype(object), WEIGHTS[:, :0]])  # fmt: skip
IMAGE_SHAPE = {"image_shape": shape((3, 2, 2))}
SQUARES = RNG.normal(size=(9, 4))
CODES = Fed(SQUARES, [None, 3, "a", NOTHING, {}, SQUARES[0], SQUARES[1:], SQUARES * 1j, SQUARES.astype(object)])
FLAT = array(SQUARES.T.copy())
SIDES = {"image_shape": pair((3, 3), 1, none=True)}
TRIALS = [{"params": {"learning_rate": 0.1, "reg": 0.1}, "train_acc": 0.5, "val_acc": 0.4, "status": "finished"}]
BAD_TRIALS = [None, 3, "a", NOTHING, [], {}, [3], [{}], [{"params": 3}], [{**TRIALS[0], "val_acc": "a"}]]
BAD_TRIALS += [[{**TRIALS[0], "params": {"learning_rate": wrong, "reg": 0.1}}] for wrong in (-1, "a", None, np.nan)]
AXIS = Fed("reg", [None, 3, NOTHING, "rge", ["reg"]])
DATA |= {
    "vis_utils.plot_stats": Call(lambda: vis_utils.plot_stats, stats=STATS, **FIGURE),
    "vis_utils.plot_acc_curves": Call(
        lambda: vis_utils.plot_acc_curves,
        results=Fed({"run": HISTORIES}, [None, 3, "a", NOTHING, [], {}, {"run": 3}, {"run": {}}]), **FIGURE,
    ),
    "vis_utils.training_picture": Call(
        lambda: vis_utils.training_picture, solver=STATS, weights=NET, **IMAGE_SHAPE, **FIGURE
    ),
    "vis_utils.visualize_grid": Call(
        lambda: vis_utils.visualize_grid, Xs=array(PATCHES), ubound=number(255.0), padding=integer(1, 0)
    ),
    "vis_utils.show_examples": Call(
        lambda: vis_utils.show_examples, X=array(PATCHES), y=labels(np.array([0, 1, 1]), 2),
        class_names=Fed(("a", "b"), [None, 3, NOTHING, {}, ("a",), (1, 2), "ab"]), samples_per_class=integer(1, 1),
        **FIGURE,
    ),
    "vis_utils.show_net_weights": Call(lambda: vis_utils.show_net_weights, net=LAYER, **IMAGE_SHAPE, **FIGURE),
    "vis_utils.show_class_templates": Call(
        lambda: vis_utils.show_class_templates, W=LAYER,
        class_names=Fed(("a", "b", "c"), [None, 3, NOTHING, {}, ("a",), (1, 2, 3), "abc"]), **IMAGE_SHAPE, **FIGURE,
    ),
    "vis_utils.show_filter_responses": Call(
        lambda: vis_utils.show_filter_responses, net=NET, image=array(PATCHES[0]), stride=pair(1, 1),
        pad=pair(1, 0, none=True), **FIGURE,
    ),
    "vis_utils.show_autoencoder_features": Call(
        lambda: vis_utils.show_autoencoder_features, model=CODES, **SIDES, **FIGURE
    ),
    "vis_utils.show_reconstructions": Call(
        lambda: vis_utils.show_reconstructions, X=FLAT, reconstructed=FLAT, count=integer(2, 1), **SIDES, **FIGURE
    ),
    "vis_utils.plot_sweep": Call(
        lambda: vis_utils.plot_sweep, trials=Fed(TRIALS, BAD_TRIALS), x=Fed("learning_rate", AXIS.bad), y=AXIS, **FIGURE
    ),
}  # fmt: skip

# ---- sweeps ----

VALUES = Fed([1, 2], [None, 3, "ab", NOTHING, {}, [], b"ab"])


def run(params):
    return {"val_acc": 0.5}


DATA |= {
    "sweep.sweep": Call(
        lambda: sweep.sweep, run=function(run),
        trials=Fed([{"reg": 1}], [None, 3, "a", NOTHING, [3], [{}], [{1: 2}], [{"reg": NOTHING}], [{"reg": np.nan}],
                                  [{"reg": 1}, {"lr": 1}]]),
        ledger=path("ledger.jsonl", none=True), executor=Fed(None, [3, "a", {}, NOTHING, np.ones(2)]), seed=seed(),
        retry_failed=flag(), verbose=flag(),
    ),
    "sweep.workers": Call(
        lambda: lambda which: sweep.workers(which).__enter__(),
        which=Fed(1, [None, 0, -1, 1.5, True, "many", {}, NOTHING, np.ones(2)]),
    ),
    "sweep.best": Call(
        lambda: sweep.best, trials=Fed(TRIALS, [None, 3, "a", NOTHING, [], [3], [{}], [{"status": "finished"}]])
    ),
    "sweep.load_ledger": Call(lambda: sweep.load_ledger, path=path("trials.jsonl")),
    "sweep.grid": Call(lambda: lambda choices: sweep.grid(reg=choices), choices=VALUES),
    "sweep.random_search": Call(
        lambda: lambda distributions, **options: sweep.random_search(reg=distributions, **options),
        count=integer(2, 1), seed=seed(), distributions=VALUES,
    ),
    "sweep.choice": Call(lambda: sweep.choice, values=VALUES),
    "sweep.integers": Call(lambda: sweep.integers, low=integer(2), high=integer(5, 2), log=flag(True)),
    "sweep.uniform": Call(lambda: sweep.uniform, low=number(0.0), high=number(1.0, least=0)),
    "sweep.log_uniform": Call(lambda: sweep.log_uniform, low=number(0.1, above=0), high=number(1.0, least=0.1)),
}  # fmt: skip
