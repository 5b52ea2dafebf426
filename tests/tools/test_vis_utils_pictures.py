"""Pictures of templates, sweeps and filter responses, and Figures in a notebook: their contents."""

import sys
import types

import numpy as np
import pytest

from fastnn.layers import conv_forward_naive
from fastnn.vis_utils import (
    plot_stats,
    plot_sweep,
    show_class_templates,
    show_filter_responses,
    show_net_weights,
)

RANDOM = np.random.default_rng(0)
NAMES = ["cat", "dog", "frog"]
FILTERS = RANDOM.standard_normal((7, 3, 3, 5))


def pictures(axes):
    return [np.asarray(image.get_array()) for image in axes.get_images()]


def png(path):
    return path.read_bytes().startswith(b"\x89PNG")


# ---- class templates ----


@pytest.mark.parametrize("bias", [0, 1])
@pytest.mark.parametrize("shape", [(3, 4, 5), (4, 5, 3), (1, 4, 5), (4, 5, 1), (2, 4, 5)])
def test_templates(shape, bias, tmp_path):
    W = RANDOM.standard_normal((np.prod(shape) + bias, 3)).astype(np.float32)
    before = W.copy()
    figure = show_class_templates(W, NAMES, tmp_path / "templates.png", shape)
    assert [axes.get_title() for axes in figure.axes] == NAMES
    for axes, column in zip(figure.axes, W.T, strict=True):
        image = column[: np.prod(shape)].reshape(shape)
        if shape[0] == 2:
            image = image.mean(axis=0)
        elif shape[0] in (1, 3):
            image = image.transpose(1, 2, 0)
        expected = (image - image.min()) / (image.max() - image.min())
        (actual,) = pictures(axes)
        np.testing.assert_allclose(actual, expected.squeeze(), atol=1e-6)
    np.testing.assert_array_equal(W, before)
    assert png(tmp_path / "templates.png")


def test_templates_of_a_classifier_and_of_many_classes():
    classifier = types.SimpleNamespace(W=RANDOM.standard_normal((3073, 7)))
    figure = show_class_templates(classifier, [str(k) for k in range(7)])
    assert [axes.get_title() for axes in figure.axes] == [*"0123456", ""]
    assert [len(axes.get_images()) for axes in figure.axes] == [1] * 7 + [0]


def test_templates_of_one_colour():
    (axes,) = show_class_templates(np.ones((12, 1)), ["only"], image_shape=(3, 2, 2)).axes
    assert not pictures(axes)[0].any()


def test_invalid_templates():
    with pytest.raises(ValueError, match=r"show_class_templates: W.shape = \(14, 3\) does not form images .* 12 rows"):
        show_class_templates(np.zeros((14, 3)), NAMES, image_shape=(3, 2, 2))
    with pytest.raises(ValueError, match=r"image_shape=\(3072,\)"):
        show_class_templates(np.zeros((3072, 3)), NAMES, image_shape=(3072,))
    with pytest.raises(ValueError, match=r"class_names=\['cat'\] do not fit W.shape = \(12, 3\); .* pass 3 names"):
        show_class_templates(np.zeros((12, 3)), ["cat"], image_shape=(3, 2, 2))
    with pytest.raises(ValueError, match=r"class_names=\[\] do not fit W.shape = \(12, 0\)"):
        show_class_templates(np.zeros((12, 0)), [], image_shape=(3, 2, 2))
    with pytest.raises(ValueError, match=r"show_class_templates: W.shape = \(3, 2, 2\) has 3 axes"):
        show_class_templates(np.zeros((3, 2, 2)), NAMES, image_shape=(3, 2, 2))
    with pytest.raises(TypeError, match=r"show_class_templates: W=namespace\(W=None\) contains no weights; .* train"):
        show_class_templates(types.SimpleNamespace(W=None), NAMES)


# ---- sweeps ----


def trial(learning_rate, reg, training, validation, **more):
    params = {"learning_rate": learning_rate, "reg": reg, "hidden": 50}
    return {
        "params": params,
        "train_acc": training,
        "val_acc": validation,
        "status": "finished",
        "reason": None,
        **more,
    }


TRIALS = [
    trial(1e-3, 0.1, 0.5, 0.45),
    trial(1e-2, 0.0, 0.9, 0.40),
    trial(1e-1, 0.1, 0.2, 0.99, status="failed", reason="loss is nan"),
    trial(1e-4, 1e-3, None, 0.30),
    trial(1.0, 1e-3, np.nan, np.nan),
    trial(1.0, 1e-2, None, None, status="failed"),
]


def offsets(axes):
    """Return the offsets of points, crosses and ring of one panel."""
    return [np.ma.filled(collection.get_offsets()).tolist() for collection in axes.collections]


def test_sweep(tmp_path):
    figure = plot_sweep(TRIALS, tmp_path / "sweep.png")
    training, validation = figure.axes[:2]
    assert [axes.get_title(loc="left") for axes in (training, validation)] == [
        "training accuracy",
        "validation accuracy",
    ]
    assert (training.get_xlabel(), training.get_ylabel()) == ("log10(learning rate)", "log10(regularisation)")
    points, crosses, ring = offsets(validation)
    zero = points[1][1]
    np.testing.assert_allclose(points, [[-4, -3], [-2, zero], [-3, -1]])
    np.testing.assert_allclose(crosses, [[-1, -1], [0, -3], [0, -2]])
    np.testing.assert_allclose(ring, [[-3, -1]])
    np.testing.assert_allclose(validation.collections[0].get_array(), [0.30, 0.40, 0.45])
    np.testing.assert_allclose(offsets(training)[0], [[-2, zero], [-3, -1]])
    np.testing.assert_allclose(training.collections[0].get_array(), [0.9, 0.5])
    assert figure.get_suptitle() == "best validation accuracy 0.450: learning rate 0.001, regularisation 0.1, hidden 50"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["3 failed", "best on validation"]
    assert png(tmp_path / "sweep.png")


def test_zero_has_a_position_of_its_own():
    axes = plot_sweep(TRIALS).axes[0]
    zero = offsets(axes)[0][0][1]
    assert axes.get_ylim()[0] < zero < -3
    labels = dict(zip(axes.get_yticks(), [text.get_text() for text in axes.get_yticklabels()], strict=True))
    assert labels.pop(zero) == "reg = 0"
    assert labels.keys() == {float(text.replace("\N{MINUS SIGN}", "-")) for text in labels.values()}
    assert not any("= 0" in text.get_text() for text in axes.get_xticklabels())


def test_sweep_of_the_course_and_of_other_hyperparameters():
    results = {(1e-7, 2.5e4): (0.3, 0.25), (5e-7, 5e4): (0.4, np.float32(0.35))}
    figure = plot_sweep(results)
    np.testing.assert_allclose(offsets(figure.axes[1])[0], np.log10(list(results)))
    assert figure.get_suptitle().startswith("best validation accuracy 0.350: learning rate 5e-07, regularisation 5e+04")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["best on validation"]
    figure = plot_sweep(TRIALS, x="hidden", y="learning_rate")
    assert figure.axes[0].get_xlabel() == "log10(hidden)"
    np.testing.assert_allclose(offsets(figure.axes[1])[2], [[np.log10(50), -3]])


@pytest.mark.parametrize("trials", [TRIALS[2:3], [trial(0, 0.0, 0.2, 0.1)], {(0.1, 0): (0.2, 0.1)}, iter(TRIALS)])
def test_awkward_sweeps_are_drawn(trials, tmp_path):
    plot_sweep(trials, tmp_path / "sweep.png")
    assert png(tmp_path / "sweep.png")


def test_sweep_without_a_finished_trial():
    figure = plot_sweep(TRIALS[4:])
    assert figure.get_suptitle() == "no trial of 2 finished"
    assert [len(found) for found in offsets(figure.axes[1])] == [0, 2, 0]


def test_invalid_sweeps():
    with pytest.raises(ValueError, match=r"plot_sweep: trials is empty; .* run the sweep first"):
        plot_sweep([])
    with pytest.raises(TypeError, match="plot_sweep: trials=3 is not a list; expected dicts with 'params'"):
        plot_sweep(3)
    with pytest.raises(TypeError, match="plot_sweep: trials contains 'lr'; expected dicts"):
        plot_sweep(["lr"])
    with pytest.raises(ValueError, match=r"plot_sweep: trials contains \(0.1, 0.2\): \(0.3,\); expected dicts .* or"):
        plot_sweep({(0.1, 0.2): (0.3,)})
    with pytest.raises(ValueError, match="plot_sweep: a trial lacks the key 'params'"):
        plot_sweep([{"val_acc": 0.1}])
    with pytest.raises(ValueError, match="plot_sweep: params of a trial lacks the key 'reg'"):
        plot_sweep([{"params": {"learning_rate": 0.1}, "val_acc": 0.1}])
    with pytest.raises(ValueError, match="plot_sweep: reg=-1 is out of range; expected at least 0"):
        plot_sweep([trial(0.1, -1, 0.1, 0.1)])
    with pytest.raises(TypeError, match="plot_sweep: val_acc='high' is not a number"):
        plot_sweep([trial(0.1, 0, 0.1, "high")])


# ---- filter responses ----


@pytest.mark.parametrize("stride", [1, 2])
def test_responses(backend, stride, tmp_path):
    image, bias = RANDOM.standard_normal((3, 9, 11)), RANDOM.standard_normal(7)
    before = image.copy()
    net = types.SimpleNamespace(params={"W1": FILTERS, "b1": bias})
    figure = show_filter_responses(net, image, tmp_path / "responses.png", stride=stride)
    drawn = pictures(figure.axes[0])
    assert len(drawn) == 1 + 2 * 7
    expected, _ = conv_forward_naive(image[None], FILTERS, bias, {"stride": stride, "pad": (1, 2)})
    for f in range(7):
        low, high = FILTERS[f].min(), FILTERS[f].max()
        np.testing.assert_allclose(drawn[1 + 2 * f], (FILTERS[f].transpose(1, 2, 0) - low) / (high - low))
        np.testing.assert_allclose(drawn[2 + 2 * f], expected[0, f], rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(image, before)
    assert png(tmp_path / "responses.png")


def test_responses_share_a_scale_around_zero():
    image = np.zeros((1, 4, 4))
    image[0, 1, 1] = 1
    (axes, bar) = show_filter_responses(np.array([1.0, -3.0]).reshape(2, 1, 1, 1), image).axes
    scales = [(shown.norm.vmin, shown.norm.vmax) for shown in axes.get_images()[2::2]]
    assert scales[0] == scales[1]
    assert scales[0][0] == -scales[0][1] < 0
    assert bar.get_ylabel() == "response"
    assert [text.get_text() for text in axes.texts] == ["0", "1", "image", "filters and their responses"]


@pytest.mark.parametrize("count", [1, 2, 8, 13, 32, 64])
def test_maps_do_not_overlap_and_are_all_inside(count):
    (axes, _) = show_filter_responses(np.ones((count, 2, 3, 3)), np.zeros((2, 6, 4))).axes
    boxes = [image.get_extent() for image in axes.get_images()]
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    for n, (x0, x1, y0, y1) in enumerate(boxes):
        assert left <= x0 < x1 <= right and bottom <= y0 < y1 <= top
        assert not any(x0 < b and a < x1 and y0 < d and c < y1 for a, b, c, d in boxes[:n])


def test_responses_that_are_not_finite_are_drawn(tmp_path):
    show_filter_responses(FILTERS, np.full((3, 5, 5), np.nan), tmp_path / "responses.png")


def test_responses_to_invalid_images():
    with pytest.raises(ValueError, match=r"show_filter_responses: image.shape = \(1, 3, 9, 9\) has 4 axes"):
        show_filter_responses(FILTERS, np.zeros((1, 3, 9, 9)))
    with pytest.raises(ValueError, match=r"image.shape = \(9, 9, 3\) .* C = 3 as in W1"):
        show_filter_responses(FILTERS, np.zeros((9, 9, 3)))
    with pytest.raises(ValueError, match=r"show_filter_responses: W1.shape = \(0, 3, 3, 5\) is empty"):
        show_filter_responses(FILTERS[:0], np.zeros((3, 9, 9)))
    with pytest.raises(ValueError, match=r"show_filter_responses: net.params has no 'W1'"):
        show_filter_responses(types.SimpleNamespace(params={"W": FILTERS}), np.zeros((3, 9, 9)))
    with pytest.raises(ValueError, match=r"show_filter_responses: W1.shape = \(27, 4\) has 2 axes"):
        show_filter_responses(np.zeros((27, 4)), np.zeros((3, 9, 9)))


# ---- Figures ----


def test_figures_show_themselves_in_a_notebook():
    assert show_net_weights(FILTERS)._repr_png_().startswith(b"\x89PNG")


def test_pyplot_is_left_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    plot_stats({"loss_history": [1.0], "train_acc_history": [0.1], "val_acc_history": [0.1]})
    plot_sweep(TRIALS)
    show_filter_responses(FILTERS, np.zeros((3, 9, 9)))
    show_class_templates(np.ones((12, 1)), ["only"], image_shape=(3, 2, 2))
