"""The classifiers of the course: networks built from `fastnn.nn`, linear classifiers, nearest neighbours."""

from .autoencoder import SparseAutoencoder
from .cnn import ThreeLayerConvNet
from .fc_net import FullyConnectedNet, TwoLayerNet
from .k_nearest_neighbor import KNearestNeighbor
from .linear_classifier import LinearClassifier, LinearSVM, Softmax
from .resnet import ResNet

__all__ = [
    "FullyConnectedNet",
    "KNearestNeighbor",
    "LinearClassifier",
    "LinearSVM",
    "ResNet",
    "Softmax",
    "SparseAutoencoder",
    "ThreeLayerConvNet",
    "TwoLayerNet",
]
