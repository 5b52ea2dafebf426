"""Pictures: their contents, not their look."""

import sys
import types

import numpy as np
import pytest
from matplotlib.figure import Figure

from fastnn.vis_utils import (
    histories,
    plot_acc_curves,
    plot_stats,
    show_examples,
    show_net_weights,
    training_picture,
    visualize_grid,
)

STATS = {"loss_history": [2.3, 2.0, np.nan, 1.5], "train_acc_history": [0.1, 0.4], "val_acc_history": [0.1, 0.3]}
FILTERS = np.random.default_rng(0).standard_normal((6, 3, 5, 5)).astype(np.float32)


def lines(axes):
    return [line.get_ydata() for line in axes.get_lines()]


def picture(axes):
    (image,) = axes.get_images()
    return image.get_array()


def test_grid_worked_by_hand():
    images = np.zeros((2, 1, 2, 1))
    images[0, 0, :, 0] = [3, 5]
    images[1, 0, :, 0] = [-1, -3]
    actual = visualize_grid(images, ubound=10.0, padding=1)
    expected = np.array([[0, 10, 0, 10, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(actual[..., 0], expected)


def test_grid_is_that_of_the_course():
    images = np.random.default_rng(0).standard_normal((7, 4, 5, 3))
    actual = visualize_grid(images)
    assert actual.shape == (3 * 4 + 2, 3 * 5 + 2, 3)
    fourth = images[3]
    np.testing.assert_allclose(actual[5:9, 0:5], 255 * (fourth - fourth.min()) / (fourth.max() - fourth.min()))
    assert not actual[4].any()
    assert not actual[10:, 6:].any()


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (2, 0, 4, 3), (1, 4, 4, 1), (3, 4, 4, 0)])
def test_grid_of_awkward_sizes(shape):
    count = int(np.ceil(np.sqrt(shape[0])))
    expected = tuple(max(0, count * (length + 2) - 2) for length in shape[1:3])
    assert visualize_grid(np.ones(shape), padding=2).shape == (*expected, shape[3])


def test_grid_of_equal_pixels_is_black():
    assert not visualize_grid(np.full((2, 3, 3, 3), 7)).any()


def test_grid_raises_for_other_shapes():
    with pytest.raises(ValueError, match=r"visualize_grid: Xs.shape = \(3, 3\) has 2 axes; expected \(N, H, W, C\)"):
        visualize_grid(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="visualize_grid: padding=-1 is out of range"):
        visualize_grid(np.zeros((1, 3, 3, 3)), padding=-1)


@pytest.mark.parametrize("stats", [STATS, types.SimpleNamespace(**STATS)], ids=["dict", "solver"])
def test_stats(stats, tmp_path):
    figure = plot_stats(stats, tmp_path / "stats.png")
    assert isinstance(figure, Figure)
    loss, accuracy = figure.axes
    np.testing.assert_array_equal(lines(loss)[0], STATS["loss_history"])
    np.testing.assert_array_equal(lines(accuracy), [STATS["train_acc_history"], STATS["val_acc_history"]])
    assert (loss.get_xlabel(), accuracy.get_xlabel()) == ("iteration", "epoch")
    assert (tmp_path / "stats.png").read_bytes().startswith(b"\x89PNG")


def test_stats_of_a_run_that_did_nothing(tmp_path):
    plot_stats({"loss_history": [], "train_acc_history": [], "val_acc_history": []}, tmp_path / "stats.png")


def test_stats_without_a_history():
    with pytest.raises(ValueError, match="plot_stats: dict lacks 'val_acc_history'; expected a Solver, or a dict"):
        plot_stats({"loss_history": [], "train_acc_history": []})


def test_smoothing_is_a_mean_and_skips_what_is_not_finite():
    values = np.ones(200)
    values[50] = np.nan
    values[120] = np.inf
    np.testing.assert_allclose(histories._smoothed(values), np.ones(200))
    ramp = np.arange(200.0)
    np.testing.assert_allclose(histories._smoothed(ramp)[10:-10], ramp[10:-10])
    assert np.isnan(histories._smoothed(np.full(3, np.nan))).all()


def test_accuracy_curves():
    figure = plot_acc_curves({"slow": STATS, 1e-3: {**STATS, "val_acc_history": [0.5]}})
    training, validation = figure.axes
    np.testing.assert_array_equal(lines(training), [STATS["train_acc_history"]] * 2)
    assert [list(values) for values in lines(validation)] == [[0.1, 0.3], [0.5]]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["slow", "0.001"]


@pytest.mark.parametrize("results", [{}, [STATS]])
def test_accuracy_curves_of_no_runs(results):
    with pytest.raises(TypeError, match=r"plot_acc_curves: results=.* contains no runs; expected a dict"):
        plot_acc_curves(results)


def test_weights_of_a_convolution(tmp_path):
    net = types.SimpleNamespace(params={"W1": FILTERS})
    figure = show_net_weights(net, tmp_path / "weights.png")
    drawn = picture(figure.axes[0])
    assert drawn.shape == (3 * 5 + 2, 2 * 5 + 1, 3)
    first = FILTERS[0].transpose(1, 2, 0)
    np.testing.assert_allclose(drawn[:5, :5], (first - first.min()) / (first.max() - first.min()), rtol=1e-5)
    assert (drawn[5] == 1).all()


@pytest.mark.parametrize("shape", [(3, 8, 8), (8, 8, 3), (1, 8, 8)])
def test_weights_of_an_affine_layer(shape):
    weights = np.random.default_rng(0).standard_normal((np.prod(shape), 7))
    drawn = picture(show_net_weights(weights, image_shape=shape).axes[0])
    image = weights[:, 0].reshape(shape)
    image = image[0] if shape[0] == 1 else image if shape[2] == 3 else image.transpose(1, 2, 0)
    np.testing.assert_allclose(drawn[:8, :8], (image - image.min()) / (image.max() - image.min()))


def test_weights_over_many_channels_are_grey():
    assert picture(show_net_weights(np.ones((4, 16, 3, 3))).axes[0]).ndim == 2


def test_weights_that_form_no_images():
    with pytest.raises(ValueError, match=r"W1.shape = \(10, 4\) does not form images .* expected 3072 rows"):
        show_net_weights(np.zeros((10, 4)))
    with pytest.raises(ValueError, match=r"net.params has no 'W1' \(it has \['W'\]\)"):
        show_net_weights(types.SimpleNamespace(params={"W": FILTERS}))
    with pytest.raises(ValueError, match=r"W1.shape = \(0, 3, 5, 5\) is empty"):
        show_net_weights(FILTERS[:0])


def test_examples(tmp_path):
    X = np.arange(5 * 3 * 2 * 2.0).reshape(5, 3, 2, 2)
    figure = show_examples(X, [1, 0, 1, 1, 0], ["cat", "dog", "none"], 2, tmp_path / "examples.png")
    assert len(figure.axes) == 2 * 3
    assert [axes.get_title() for axes in figure.axes[:3]] == ["cat", "dog", "none"]
    shown = [bool(axes.get_images()) for axes in figure.axes]
    assert shown == [True, True, False, True, True, False]
    first_cat = X[1].transpose(1, 2, 0)
    np.testing.assert_allclose(picture(figure.axes[0]), first_cat / X.max())


def test_examples_channels_last_and_grey():
    figure = show_examples(np.ones((1, 4, 4, 1), np.uint8), [0], ["only"])
    np.testing.assert_array_equal(picture(figure.axes[0]), np.zeros((4, 4)))


def test_examples_of_nothing():
    with pytest.raises(ValueError, match=r"show_examples: X.shape = .* is empty"):
        show_examples(np.zeros((0, 3, 2, 2)), np.zeros(0, int), ["cat"])
    with pytest.raises(ValueError, match=r"X.shape = \(2, 5, 5, 5\) does not contain images; expected \(N, C, H, W\)"):
        show_examples(np.zeros((2, 5, 5, 5)), [0, 0], ["cat"])
    with pytest.raises(ValueError, match="y contains the label 1 at index 0; expected 0 to 0"):
        show_examples(np.zeros((1, 3, 2, 2)), [1], ["cat"])


def test_training_picture(tmp_path):
    figure = training_picture(STATS, FILTERS, tmp_path / "training.png")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["training loss", "accuracy", "first-layer filters"]
    assert (tmp_path / "training.png").stat().st_size > 10_000


def test_inputs_are_not_modified():
    images, labels = np.random.default_rng(0).standard_normal((4, 3, 5, 5)), np.array([0, 1, 0, 1])
    before = images.copy()
    show_examples(images, labels, ["a", "b"])
    show_net_weights(images)
    visualize_grid(images)
    np.testing.assert_array_equal(images, before)


def test_pyplot_is_left_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    plot_stats(STATS)
    training_picture(STATS, FILTERS)
