"""Valid calls of classifiers: constructors, losses, training, predictions, files."""

import numpy as np

from fastnn import classifiers
from fastnn.classifiers import linear_classifier, two_layer_net
from fastnn.classifiers.linear_svm import svm_loss_naive, svm_loss_vectorized
from fastnn.classifiers.softmax import softmax_loss_naive, softmax_loss_vectorized

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
    labels,
    number,
    path,
    seed,
    shape,
)  # fmt: skip

RNG = np.random.default_rng(0)
X, Y, W = RNG.normal(size=(6, 5)), np.array([0, 2, 1, 0, 2, 1]), 0.1 * RNG.normal(size=(5, 3))
IMAGES = Fed(X, [None, 3, "a", NOTHING, {}, X[0], X[None], X[:, :4], X * 1j, X.astype(str), X.astype(object)])
FLAT = Fed(X, [value for value in IMAGES.bad if not (isinstance(value, np.ndarray) and value.ndim == 3)])
TARGETS = labels(Y, 3)
# without weights, the number of classes follows from the largest label
FIRST = Fed(Y, [value for value in TARGETS.bad if not (isinstance(value, np.ndarray) and np.array_equal(value, Y + 3))])
OPTIONAL = Fed(Y, [value for value in TARGETS.bad if value is not None])
BEFORE = Fed(X, [value for value in IMAGES.bad if np.shape(value) != (6, 4)])
MATRIX = array(W)
REG = {"reg": number(0.1, least=0)}
DESCENT = {
    "learning_rate": number(1e-3, least=0), **REG, "num_iters": integer(2, 0), "batch_size": integer(3, 1),
    "verbose": flag(), "on_nonfinite": choice("raise"),
}  # fmt: skip
DECAY = {"learning_rate_decay": number(0.9, above=0)}
DATA = {"X_train": X, "y_train": Y, "X_val": X, "y_val": Y}

MODELS: dict[str, Call] = {}
SIZES = {"hidden_dim": integer(4, 1), "num_classes": integer(3, 1)}
NETWORK = {"weight_scale": number(0.1, least=0), **REG, "dtype": dtype()}
MODELS |= {
    "classifiers.TwoLayerNet": Call(
        lambda: classifiers.TwoLayerNet, input_dim=integer(5, 1), **SIZES, **NETWORK, seed=seed()
    ),
    "classifiers.TwoLayerNet.save": Call(lambda: classifiers.TwoLayerNet(5, 4, 3).save, name=path("two.npz")),
    "classifiers.ThreeLayerConvNet": Call(
        lambda: classifiers.ThreeLayerConvNet, input_dim=shape((3, 4, 4)), num_filters=integer(2, 1),
        filter_size=integer(3, 1), **SIZES, **NETWORK, use_batchnorm=flag(True), seed=seed(),
    ),
    "classifiers.ResNet": Call(
        lambda: classifiers.ResNet, input_dim=shape((2, 8, 8)), num_filters=integer(1, 1), num_classes=integer(3, 1),
        **REG, label_smoothing=number(0.1, least=0, below=1), dtype=dtype(), seed=seed(),
    ),
    "classifiers.FullyConnectedNet": Call(
        lambda: classifiers.FullyConnectedNet,
        hidden_dims=Fed([4, 3], [None, 3, "ab", NOTHING, {}, [0], [1.5], [-1], ["a"], [None], [4, np.nan], [True]]),
        input_dim=integer(5, 1), num_classes=integer(3, 1), dropout_keep_ratio=number(0.5, above=0, most=1),
        normalization=choice("batchnorm", none=True), **NETWORK, seed=seed(), generator=seed(),
    ),
}  # fmt: skip

# ---- linear classifiers ----


def trained(kind):
    model = kind(seed=0)
    model.W = W.copy()
    return model


class Own(classifiers.LinearClassifier):
    def loss(self, X, y, reg):
        return 0.0, np.zeros_like(self.W)


MODELS["classifiers.LinearClassifier"] = Call(lambda: Own, seed=seed())
MODELS["classifiers.LinearSVM"] = Call(lambda: classifiers.LinearSVM, seed=seed())
MODELS["classifiers.Softmax"] = Call(lambda: classifiers.Softmax, seed=seed())
SVM = classifiers.LinearSVM
MODELS |= {
    "classifiers.LinearClassifier.train": Call(lambda: SVM(seed=0).train, X=BEFORE, y=FIRST, **DESCENT),
    "classifiers.LinearClassifier.predict": Call(lambda: trained(SVM).predict, X=IMAGES),
    "classifiers.LinearClassifier.save": Call(lambda: trained(SVM).save, name=path("linear.npz")),
    "classifiers.LinearClassifier.load": Call(lambda: trained(SVM).load, name=path("weights_of_linear.npz")),
    "classifiers.LinearSVM.loss": Call(lambda: trained(SVM).loss, X=IMAGES, y=TARGETS, **REG),
    "classifiers.Softmax.loss": Call(lambda: trained(classifiers.Softmax).loss, X=IMAGES, y=TARGETS, **REG),
}
for name, loss in {
    "svm_loss_naive": svm_loss_naive, "svm_loss_vectorized": svm_loss_vectorized,
    "softmax_loss_naive": softmax_loss_naive, "softmax_loss_vectorized": softmax_loss_vectorized,
}.items():  # fmt: skip
    MODELS[f"classifiers.linear_classifier.{name}"] = Call(lambda loss=loss: loss, W=MATRIX, X=IMAGES, y=TARGETS, **REG)
ROWS = Fed(X, [None, 3, "a", NOTHING, {}, X[:4], X.astype(object), X.astype(str), X * 1j])
MODELS |= {
    "classifiers.linear_classifier.train_linear_classifier": Call(
        lambda: linear_classifier.train_linear_classifier, loss_func=function(svm_loss_vectorized),
        W=array(W, none=True), X=IMAGES, y=TARGETS, **DESCENT, seed=seed(),
    ),
    "classifiers.linear_classifier.predict_linear_classifier": Call(
        lambda: linear_classifier.predict_linear_classifier, W=MATRIX, X=IMAGES
    ),
    "classifiers.linear_classifier.sample_batch": Call(
        lambda: linear_classifier.sample_batch, X=ROWS,
        y=Fed(Y, [None, 3, "a", NOTHING, {}, Y[:4], Y.astype(object), Y.astype(str)]),
        num_train=integer(6, 1)._replace(bad=[*integer(6, 1).bad, 7]), batch_size=integer(3, 1), seed=seed(),
    ),
    "classifiers.linear_classifier.test_one_param_set": Call(
        lambda: linear_classifier.test_one_param_set, classifier=instance(SVM(seed=0)),
        data_dict=Fed(DATA, [None, 3, "a", NOTHING, [], {}, {"X_train": X}, {**DATA, "X_val": 3}]),
        lr=number(0.1, least=0), **REG, num_iters=integer(2, 0),
    ),
}  # fmt: skip

# ---- nearest neighbours ----


def neighbors():
    model = classifiers.KNearestNeighbor()
    model.train(X, Y)
    return model


WIDE = [value for value in IMAGES.bad if np.shape(value) != (6, 4)]  # any width is valid in training
NEIGHBORS = {"k": integer(2, 1)._replace(bad=[*integer(2, 1).bad, 7])}
prefix = "classifiers.KNearestNeighbor."
MODELS |= {
    "classifiers.KNearestNeighbor": Call(lambda: classifiers.KNearestNeighbor),
    prefix + "train": Call(lambda: classifiers.KNearestNeighbor().train, X=Fed(X, WIDE), y=FIRST),
    prefix + "predict": Call(
        lambda: neighbors().predict, X=IMAGES, **NEIGHBORS,
        num_loops=integer(0, 0)._replace(bad=[*integer(0, 0).bad, 3]),
    ),
    prefix + "predict_labels": Call(lambda: neighbors().predict_labels, dists=Fed(X @ X.T, IMAGES.bad), **NEIGHBORS),
}  # fmt: skip
for name in ("two_loops", "one_loop", "no_loops"):
    MODELS[f"{prefix}compute_distances_{name}"] = Call(
        lambda name=name: getattr(neighbors(), f"compute_distances_{name}"), X=IMAGES
    )

# ---- the two-layer net in functional style ----

PARAMS = {"W1": RNG.normal(size=(5, 4)), "b1": np.zeros(4), "W2": RNG.normal(size=(4, 3)), "b2": np.zeros(3)}
BAD_PARAMS = [None, 3, "a", NOTHING, [], {}, {**PARAMS, "W3": W}, {**PARAMS, "W1": "a"}, {**PARAMS, "b1": np.zeros(5)}]
BAD_PARAMS += [{name: value for name, value in PARAMS.items() if name != gone} for gone in PARAMS]
BAD_PARAMS += [{**PARAMS, name: PARAMS[name].astype(kind)} for name in PARAMS for kind in (object, complex)]
WEIGHTS = Fed(PARAMS, BAD_PARAMS)
net = two_layer_net
LOSS = {"loss_func": function(net.nn_forward_backward)}
TRAIN = {"X": FLAT, "y": TARGETS, "X_val": FLAT, "y_val": TARGETS, "learning_rate": DESCENT["learning_rate"], **DECAY}
TRAIN |= {**REG, "num_iters": integer(2, 0), "batch_size": integer(3, 1), "verbose": flag()}
TRAIN |= {"on_nonfinite": choice("raise")}


def small():
    return net.TwoLayerNet(5, 4, 3, seed=0)


prefix = "classifiers.two_layer_net."
MODELS |= {
    prefix + "nn_forward_pass": Call(lambda: net.nn_forward_pass, params=WEIGHTS, X=FLAT),
    prefix + "nn_forward_backward": Call(lambda: net.nn_forward_backward, params=WEIGHTS, X=FLAT, y=OPTIONAL, **REG),
    prefix + "nn_predict": Call(lambda: net.nn_predict, params=WEIGHTS, **LOSS, X=FLAT),
    prefix + "nn_train": Call(
        lambda: net.nn_train, params=WEIGHTS, **LOSS, pred_func=function(net.nn_predict), **TRAIN, seed=seed()
    ),
    prefix + "TwoLayerNet": Call(
        lambda: net.TwoLayerNet, input_size=integer(5, 1), hidden_size=integer(4, 1), output_size=integer(3, 1),
        dtype=dtype(), std=number(0.1, least=0), seed=seed(),
    ),
    prefix + "TwoLayerNet.loss": Call(lambda: small().loss, X=FLAT, y=OPTIONAL, **REG),
    prefix + "TwoLayerNet.train": Call(lambda: small().train, **TRAIN),
    prefix + "TwoLayerNet.predict": Call(lambda: small().predict, X=FLAT),
    prefix + "TwoLayerNet.save": Call(lambda: small().save, name=path("two.npz")),
    prefix + "TwoLayerNet.load": Call(lambda: small().load, name=path("two_layer.npz")),
}  # fmt: skip

# ---- the sparse autoencoder ----


def encoder():
    return classifiers.SparseAutoencoder(5, 3, rho=0.1, beta=1.0, lambd=0.1, seed=0)


name = "classifiers.SparseAutoencoder"
MODELS |= {
    name: Call(
        lambda: classifiers.SparseAutoencoder, input_dim=integer(5, 1), hidden_dim=integer(3, 1),
        rho=number(0.1, above=0, below=1), beta=number(1.0, least=0), lambd=number(0.1, least=0), dtype=dtype(),
        seed=seed(),
    ),
    f"{name}.encode": Call(lambda: encoder().encode, X=FLAT),
    f"{name}.reconstruct": Call(lambda: encoder().reconstruct, X=FLAT),
    f"{name}.cost": Call(lambda: encoder().cost, X=FLAT),
    f"{name}.fit_lbfgs": Call(
        lambda: encoder().fit_lbfgs, X=FLAT, max_iterations=integer(2, 1), verbose=flag()
    ),
    f"{name}.train": Call(
        lambda: lambda momentum, **arguments: encoder().train(**arguments, momentum=momentum), X=FLAT,
        num_epochs=integer(1, 1), batch_size=integer(3, 1), learning_rate=number(0.1, least=0),
        update_rule=choice("nesterov"), seed=seed(), verbose=flag(),
        on_nonfinite=choice("raise"), momentum=number(0.9, least=0, most=1),
    ),
    f"{name}.save": Call(lambda: encoder().save, name=path("encoder.npz")),
    f"{name}.load": Call(lambda: encoder().load, name=path("autoencoder.npz")),
}  # fmt: skip
