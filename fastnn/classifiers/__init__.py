"""The classifiers of the course: thin networks of `fastnn.nn` under the course's names."""

from .autoencoder import SparseAutoencoder
from .cnn import ThreeLayerConvNet
from .fc_net import TwoLayerNet

__all__ = ["SparseAutoencoder", "ThreeLayerConvNet", "TwoLayerNet"]
