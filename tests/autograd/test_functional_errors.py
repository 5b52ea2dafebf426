"""Arguments of `fastnn.nn.functional` are those of torch; errors name the function and them, and say what to do."""

import inspect
import re

import numpy as np
import pytest

import fastnn.nn.functional as F

LABELS = np.array([0, 3, 1, 1, 2])
STYLE = re.compile(r"^(\w+): [^\n]+; [^\n]+; [^\n]+$")
IMAGES, FILTERS, ROWS = np.ones((2, 3, 5, 5)), np.ones((4, 3, 3, 3)), np.ones((5, 4))
ERRORS = {
    "linear features": (lambda: F.linear(ROWS, np.ones((4, 3))), ValueError, "weight.shape = (4, 3)"),
    "linear scalar": (lambda: F.linear(np.array(1.0), np.ones((4, 3))), ValueError, "input.shape = ()"),
    "linear bias": (lambda: F.linear(ROWS, np.ones((3, 4)), np.ones(4)), ValueError, "bias.shape = (4,)"),
    "linear text": (lambda: F.linear("a", ROWS), TypeError, "input"),
    "linear none": (lambda: F.linear(ROWS, None), TypeError, "weight.dtype = object"),
    "linear dtype": (lambda: F.linear(ROWS.astype(np.float16), ROWS), TypeError, "input.dtype = float16"),
    "conv2d axes": (lambda: F.conv2d(IMAGES[0], FILTERS), ValueError, "input.shape = (3, 5, 5) has 3 axes"),
    "conv2d channels": (lambda: F.conv2d(IMAGES, FILTERS[:, :2]), ValueError, "weight.shape = (4, 2, 3, 3)"),
    "conv2d bias": (lambda: F.conv2d(IMAGES, FILTERS, np.ones(3)), ValueError, "bias.shape = (3,)"),
    "conv2d stride": (lambda: F.conv2d(IMAGES, FILTERS, stride=0), ValueError, "stride=0 is out of range"),
    "conv2d padding": (lambda: F.conv2d(IMAGES, FILTERS, padding="same"), TypeError, "padding='same'"),
    "conv2d size": (lambda: F.conv2d(IMAGES, FILTERS, dilation=3), ValueError, "use padding=1"),
    "conv2d groups": (lambda: F.conv2d(IMAGES, FILTERS, groups=2), TypeError, "the keyword groups=2 is unknown"),
    "max_pool2d padding": (
        lambda: F.max_pool2d(IMAGES, 2, padding=2), ValueError, "padding=(2, 2) exceeds half of kernel_size=(2, 2)",
    ),
    "max_pool2d size": (lambda: F.max_pool2d(IMAGES, 6), ValueError, "the window does not fit"),
    "max_pool2d none": (lambda: F.max_pool2d(IMAGES), TypeError, "missing a required argument: 'kernel_size'"),
    "avg_pool2d size": (lambda: F.avg_pool2d(IMAGES, (1, 2, 3)), ValueError, "kernel_size=(1, 2, 3) has 3 entries"),
    "adaptive_avg_pool2d": (lambda: F.adaptive_avg_pool2d(IMAGES, 2), ValueError, "output_size=2 is not supported"),
    "adaptive_avg_pool2d empty": (
        lambda: F.adaptive_avg_pool2d(np.ones((2, 3, 0, 5)), 1), ValueError, "input.shape=(2, 3, 0, 5)",
    ),
    "flatten axis": (lambda: F.flatten(IMAGES, 4), ValueError, "start_dim=4 is out of range"),
    "flatten order": (lambda: F.flatten(IMAGES, 2, 1), ValueError, "start_dim=2 comes after end_dim=1"),
    "relu": (lambda: F.relu(None), TypeError, "input"),
    "relu in place": (lambda: F.relu(ROWS, inplace=True), TypeError, "the keyword inplace=True is unknown"),
    "leaky_relu": (lambda: F.leaky_relu(ROWS, "a"), TypeError, "negative_slope='a'"),
    "elu": (lambda: F.elu(ROWS, np.inf), ValueError, "alpha=inf"),
    "prelu": (lambda: F.prelu(ROWS, np.ones(3)), ValueError, "weight.shape = (3,)"),
    "softmax": (lambda: F.softmax(ROWS, 2), ValueError, "dim"),
    "log_softmax": (lambda: F.log_softmax(ROWS), TypeError, "missing a required argument: 'dim'"),
    "dropout": (lambda: F.dropout(ROWS, 1), ValueError, "p=1 is out of range"),
    "dropout mode": (lambda: F.dropout(ROWS, 0.5, "train"), TypeError, "training='train'"),
    "batch_norm": (lambda: F.batch_norm(ROWS, None, None), ValueError, "running_mean=None does not fit training=False"),
    "batch_norm channels": (
        lambda: F.batch_norm(ROWS, np.zeros(3), np.ones(3)), ValueError, "running_mean.shape = (3,)",
    ),
    "batch_norm lists": (
        lambda: F.batch_norm(ROWS, [0.0] * 4, [1.0] * 4, training=True), TypeError, "cannot be updated in place",
    ),
    "batch_norm integers": (
        lambda: F.batch_norm(ROWS, np.zeros(4, int), np.ones(4), training=True), TypeError, "running_mean=array",
    ),
    "batch_norm momentum": (lambda: F.batch_norm(ROWS, None, None, momentum=2), ValueError, "momentum=2"),
    "batch_norm eps": (lambda: F.batch_norm(ROWS, None, None, training=True, eps=0), ValueError, "eps=0"),
    "batch_norm empty": (lambda: F.batch_norm(ROWS[:0], None, None, training=True), ValueError, "input.shape = (0, 4)"),
    "layer_norm": (lambda: F.layer_norm(ROWS, 5), ValueError, "normalized_shape=5 does not fit input.shape = (5, 4)"),
    "layer_norm nothing": (lambda: F.layer_norm(ROWS, ()), ValueError, "normalized_shape=() is not a shape"),
    "layer_norm weight": (lambda: F.layer_norm(ROWS, 4, np.ones(3)), ValueError, "weight.shape = (3,)"),
    "group_norm": (lambda: F.group_norm(IMAGES, 2), ValueError, "num_groups=2 does not divide the channels"),
    "group_norm weight": (lambda: F.group_norm(IMAGES, 3, np.ones(2)), ValueError, "weight.shape = (2,)"),
    "cross_entropy": (lambda: F.cross_entropy(ROWS, LABELS + 2), ValueError, "target contains the label 5 at index 1"),
    "cross_entropy rows": (lambda: F.cross_entropy(ROWS, LABELS[:3]), ValueError, "target.shape = (3,)"),
    "cross_entropy floats": (lambda: F.cross_entropy(ROWS, ROWS), TypeError, "target.dtype = float64"),
    "cross_entropy classes": (lambda: F.cross_entropy(ROWS[:, :0], LABELS), ValueError, "has no classes"),
    "cross_entropy smoothing": (
        lambda: F.cross_entropy(ROWS, LABELS, label_smoothing=1), ValueError, "label_smoothing=1 is out of range",
    ),
    "cross_entropy reduction": (lambda: F.cross_entropy(ROWS, LABELS, reduction="max"), ValueError, "reduction='max'"),
    "nll_loss": (lambda: F.nll_loss(ROWS, LABELS - 1), ValueError, "target contains the label -1"),
    "multi_margin_loss": (lambda: F.multi_margin_loss(ROWS, LABELS, 3), ValueError, "p=3 is out of range"),
    "mse_loss": (lambda: F.mse_loss(ROWS, ROWS[:1]), ValueError, "target.shape = (1, 4)"),
    "mse_loss reduction": (lambda: F.mse_loss(ROWS, ROWS, reduction=1), TypeError, "reduction=1"),
    "one_hot": (lambda: F.one_hot(ROWS), TypeError, "tensor.dtype = float64"),
    "one_hot classes": (lambda: F.one_hot(LABELS, 3), ValueError, "tensor contains the label 3"),
    "one_hot empty": (lambda: F.one_hot(LABELS[:0]), ValueError, "has no labels"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_to_do(name, one_backend):
    call, kind, words = ERRORS[name]
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert words in message
    assert STYLE.match(message), message
    assert message.startswith(f"{name.split()[0]}: ") and len(message) < 500


def parameters(function):
    try:
        return inspect.signature(function).parameters
    except ValueError:  # written in C
        return {}


COMPARED = {  # those of which torch tells the arguments
    "adaptive_avg_pool2d", "batch_norm", "cross_entropy", "dropout", "elu", "group_norm", "layer_norm", "leaky_relu",
    "log_softmax", "mse_loss", "multi_margin_loss", "nll_loss", "relu", "sigmoid", "softmax", "tanh",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(COMPARED))
def test_arguments_have_names_order_and_defaults_of_torch(name):
    torch = pytest.importorskip("torch", reason="torch is not installed: nothing to compare with")
    mine, theirs = parameters(getattr(F, name)), parameters(getattr(torch.nn.functional, name))
    assert list(mine) == [one for one in theirs if one in mine]
    for one, parameter in mine.items():
        required = parameter.default is parameter.empty  # `dim` is always required here
        assert parameter.default == theirs[one].default or (required and one == "dim")
        positions = list(mine).index(one), list(theirs).index(one)
        assert parameter.kind is parameter.KEYWORD_ONLY or positions[0] == positions[1]
