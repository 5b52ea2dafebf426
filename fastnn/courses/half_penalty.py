"""CS231n up to 2016, whose linear classifiers and two-layer net have the penalty 0.5 * reg * sum(W * W)."""

from typing import Any

from fastnn.classifiers import linear_classifier, two_layer_net

__all__ = ["LinearSVM", "Softmax", "TwoLayerNet"]


class LinearSVM(linear_classifier.LinearSVM):
    """A linear classifier with the multiclass hinge loss."""

    def loss(self, X: Any, y: Any, reg: float) -> Any:
        return super().loss(X, y, 0.5 * reg)


class Softmax(linear_classifier.Softmax):
    """A linear classifier with the softmax loss."""

    def loss(self, X: Any, y: Any, reg: float) -> Any:
        return super().loss(X, y, 0.5 * reg)


class TwoLayerNet(two_layer_net.TwoLayerNet):
    """affine - ReLU - affine - softmax in float64, with its own training loop."""

    def __init__(self, input_size: int, hidden_size: int, output_size: int, std: float = 1e-4) -> None:
        super().__init__(input_size, hidden_size, output_size, "float64", std)

    def loss(self, X: Any, y: Any = None, reg: float = 0.0) -> Any:
        return super().loss(X, y, 0.5 * reg)

    def train(
        self,
        X: Any,
        y: Any,
        X_val: Any,
        y_val: Any,
        learning_rate: float = 1e-3,
        learning_rate_decay: float = 0.95,
        reg: float = 1e-5,
        *settings: Any,
        **keywords: Any,
    ) -> Any:
        return super().train(X, y, X_val, y_val, learning_rate, learning_rate_decay, 0.5 * reg, *settings, **keywords)
