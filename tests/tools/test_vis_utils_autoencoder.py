"""Pictures of an autoencoder: their contents, not their look."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from fastnn.classifiers import SparseAutoencoder
from fastnn.vis_utils import show_autoencoder_features, show_reconstructions


def canvas(figure):
    assert isinstance(figure, Figure)
    ((image,),) = [axes.get_images() for axes in figure.axes]
    return np.asarray(image.get_array())


@pytest.mark.parametrize(("hidden", "side"), [(1, 1), (25, 5), (64, 8), (100, 10)])
def test_features_form_a_square(hidden, side, tmp_path):
    model = SparseAutoencoder(16, hidden, 0.1, 3, 0.2, seed=0)
    before = model.params["W1"].copy()
    figure = show_autoencoder_features(model, tmp_path / "features.png")
    actual = canvas(figure)
    assert actual.shape == (5 * side - 1, 5 * side - 1)
    assert figure.axes[0].get_title(loc="left") == f"{hidden} hidden units"
    assert (tmp_path / "features.png").read_bytes().startswith(b"\x89PNG")
    np.testing.assert_array_equal(model.params["W1"], before)
    last = before[:, -1] - before[:, -1].mean()
    np.testing.assert_allclose(actual[-4:, -4:], 0.5 + 0.5 * last.reshape(4, 4) / np.abs(last).max())


def test_features_worked_by_hand():
    W1 = np.array([[1.0, 5.0, 3.0], [2.0, 5.0, 3.0], [3.0, 5.0, 3.0], [6.0, 5.0, 9.0]])
    expected = np.array(
        [
            [0.5 - 1 / 3, 0.5 - 1 / 6, 1, 0.5, 0.5],
            [0.5, 1, 1, 0.5, 0.5],
            [1, 1, 1, 1, 1],
            [1 / 3, 1 / 3, 1, 1, 1],
            [1 / 3, 1, 1, 1, 1],
        ]
    )
    np.testing.assert_allclose(canvas(show_autoencoder_features(W1)), expected)
    assert canvas(show_autoencoder_features(W1, image_shape=(1, 4))).shape == (3, 9)


def test_reconstructions_stand_below_the_images(tmp_path):
    images = np.random.default_rng(0).uniform(size=(12, 9))
    figure = show_reconstructions(images, images / 2, tmp_path / "reconstructions.png")
    actual = canvas(figure)
    assert actual.shape == (2 * 3 + 1, 10 * 3 + 9)
    high, low = images[3].max(), images[3].min() / 2
    np.testing.assert_allclose(actual[:3, 12:15], (images[3].reshape(3, 3) - low) / (high - low))
    np.testing.assert_allclose(actual[4:, 12:15], (images[3].reshape(3, 3) / 2 - low) / (high - low))
    assert (tmp_path / "reconstructions.png").stat().st_size > 1000
    assert canvas(show_reconstructions(images[:2], images[:2])).shape == (7, 7)
    np.testing.assert_array_equal(canvas(show_reconstructions(np.ones((1, 1)), np.ones((1, 1))))[:, 0], [0, 1, 0])


def test_pictures_of_other_arrays():
    with pytest.raises(
        ValueError, match="show_autoencoder_features: W1 has 8 pixels, which do not form an image of 2 x 2; exp"
    ):
        show_autoencoder_features(np.zeros((8, 3)))
    with pytest.raises(
        ValueError, match=r"X has 8 pixels, which do not form an image of 3 x 2; expected height times width"
    ):
        show_reconstructions(np.zeros((3, 8)), np.zeros((3, 8)), image_shape=(3, 2))
    with pytest.raises(
        ValueError, match=r"show_reconstructions: reconstructed.shape = \(2, 9\) has length 2 on axis 0"
    ):
        show_reconstructions(np.zeros((3, 9)), np.zeros((2, 9)))
    with pytest.raises(ValueError, match=r"show_autoencoder_features: W1.shape = \(4, 0\) is empty"):
        show_autoencoder_features(np.zeros((4, 0)))
    with pytest.raises(ValueError, match="show_reconstructions: count=0 is out of range"):
        show_reconstructions(np.zeros((3, 9)), np.zeros((3, 9)), count=0)
