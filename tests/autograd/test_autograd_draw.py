"""Pictures of a tape."""

import numpy as np
import pytest

from fastnn import autograd, layers
from fastnn.autograd import Tensor
from fastnn.vis_utils import tape


def network():
    """Return the loss of a small network, and its parameters by name."""
    names = {"w1": (6, 4), "b1": (4,), "w2": (4, 3)}
    params = {name: Tensor(np.ones(shape), requires_grad=True) for name, shape in names.items()}
    hidden = (Tensor(np.ones((5, 6))) @ params["w1"] + params["b1"]).relu()
    loss = autograd.loss(layers.softmax_loss)(hidden @ params["w2"], np.zeros(5, int))
    return loss + 0.1 * (params["w1"] * params["w1"]).sum(), params


def words(figure):
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_files_are_written_in_the_format_of_their_suffix(tmp_path, suffix):
    loss, params = network()
    autograd.draw(loss, tmp_path / f"net{suffix}", params)
    begin = (tmp_path / f"net{suffix}").read_bytes()[:8]
    assert begin.startswith(b"<?xml" if suffix == ".svg" else b"\x89PNG")


def test_every_operation_and_leaf_has_a_box_with_its_shape():
    loss, params = network()
    drawn = words(autograd.draw(loss, names=params))
    boxes = sorted(zip(drawn[::2], drawn[1::2], strict=True))
    assert boxes == sorted(
        [
            ("w1", "6 x 4"), ("b1", "4"), ("w2", "4 x 3"), ("matmul", "5 x 4"), ("add", "5 x 4"), ("relu", "5 x 4"),
            ("matmul", "5 x 3"), ("softmax_loss", "scalar"), ("multiply", "6 x 4"), ("sum", "scalar"),
            ("multiply", "scalar"), ("add", "scalar"),
        ]
    )  # fmt: skip
    assert words(autograd.draw(loss)).count("leaf") == 3


def test_boxes_and_passing_arrows_do_not_overlap():
    """A chain in which every box also uses the first one."""
    inputs = [[1, 5], [2, 5], [3, 5], [4, 5], [5], []]
    routes = tape._routes(inputs)
    places = tape._places(routes, inputs)
    assert len(places) == 6 and len(set(places.values())) == 6
    assert [y for _, y in (places[box] for box in range(6))] == [0, 1, 2, 3, 4, 5]
    passing = [point for points in routes.values() for point in points[1:-1]]
    assert len(passing) == 4 + 3 + 2 + 1
    for x, y in passing:
        at = [place for place in places.values() if place[1] == y]
        assert all(abs(x - other) > 0.999 for other, _ in at)


def test_drawing_needs_a_tape(tmp_path):
    loss, _ = network()
    with pytest.raises(TypeError, match=r"^draw: loss=3.0 is not a Tensor; expected one with a tape; pass a loss$"):
        autograd.draw(3.0)
    with pytest.raises(ValueError, match=r"^draw: loss, of shape \(2,\), has no tape; expected .*; draw after"):
        autograd.draw(Tensor(np.ones(2)))
    loss.backward()
    with pytest.raises(ValueError, match="has no tape"):
        autograd.draw(loss)
    with pytest.raises(TypeError, match="draw: path=3"):
        autograd.draw(network()[0], 3)
