"""The classifiers of the course: networks built from `fastnn.nn`, and linear classifiers."""

from .autoencoder import SparseAutoencoder
from .cnn import ThreeLayerConvNet
from .fc_net import FullyConnectedNet, TwoLayerNet
from .linear_classifier import LinearClassifier, LinearSVM, Softmax
from .resnet import ResNet

__all__ = [
    "FullyConnectedNet",
    "LinearClassifier",
    "LinearSVM",
    "ResNet",
    "Softmax",
    "SparseAutoencoder",
    "ThreeLayerConvNet",
    "TwoLayerNet",
]
