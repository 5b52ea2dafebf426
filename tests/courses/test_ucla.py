"""What UCLA's classifiers print."""

import numpy as np
import pytest

from fastnn.courses import ucla

X, Y = np.linspace(-1, 1, 60).reshape(10, 6), np.arange(10) % 3


@pytest.fixture(autouse=True)
def _seed(one_backend):
    np.random.seed(1)


@pytest.mark.parametrize("kind", [ucla.Softmax, ucla.SVM])
def test_linear_classifiers_print_every_digit_of_the_loss(kind, capsys):
    losses = kind((3, 6)).train(X, Y, 1e-2, num_iters=101, batch_size=10, verbose=True)
    assert capsys.readouterr().out.splitlines() == [f"iteration {i} / 101: loss {losses[i]}" for i in (0, 100)]
    kind((3, 6)).train(X, Y, num_iters=1)
    assert capsys.readouterr().out == ""


def test_the_two_layer_net_prints_every_digit_of_the_loss(capsys):
    net = ucla.TwoLayerNet(6, 4, 3)
    stats = net.train(X, Y, X, Y, num_iters=101, batch_size=4, verbose=True)
    losses = stats["loss_history"]
    assert capsys.readouterr().out.splitlines() == [f"iteration {i} / 101: loss {losses[i]}" for i in (0, 100)]
    assert len(stats["val_acc_history"]) == 51
