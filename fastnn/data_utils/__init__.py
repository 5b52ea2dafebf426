"""Data sets: CIFAR-10, image patches, and a generated data set that needs no download.

load_CIFAR10, get_CIFAR10_data, preprocess_cifar10    cifar10.py   the public functions
find_CIFAR10
                                                      layouts.py   the two layouts on disk
                                                      download.py, unpack.py, integrity.py, safe_pickle.py
get_shapes_data                                       shapes.py    ten geometrical shapes
read_images                                           pictures.py  PNG, JPEG and .npy files
get_toy_data                                          toy.py       five points for gradient checks
DataLoader                                            loader.py    batches as Tensors, read ahead; rows.py reads files
SubsetRandomSampler                                   sampler.py   a part of the rows in random order
"""

from .cifar10 import find_CIFAR10, get_CIFAR10_data, load_CIFAR10, preprocess_cifar10
from .layouts import CIFAR10_CLASSES
from .loader import DataLoader
from .patches import cut_patches, load_patches, preprocess_patches, save_patches
from .pictures import read_images
from .sampler import SubsetRandomSampler
from .shapes import SHAPES_CLASSES, get_shapes_data
from .toy import get_toy_data

__all__ = [
    "CIFAR10_CLASSES",
    "SHAPES_CLASSES",
    "DataLoader",
    "SubsetRandomSampler",
    "cut_patches",
    "find_CIFAR10",
    "get_CIFAR10_data",
    "get_shapes_data",
    "get_toy_data",
    "load_CIFAR10",
    "load_patches",
    "preprocess_cifar10",
    "preprocess_patches",
    "read_images",
    "save_patches",
]
