"""A folder for the tables of valid calls, with the files that they read and a small CIFAR-10."""

import numpy as np
import pytest
import small_solver

import fastnn
from fastnn import checkpoint, data_utils, nn, sweep
from fastnn.data_utils import cifar10, layouts

from . import calls_data, calls_models, calls_nn


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, fastnn.use_backend("vectorized"):  # the images of the valid calls
        patch.chdir(tmp_path_factory.mktemp("validation"))
        calls_nn.around(nn.Sequential).save("sequential.npz")
        np.savez("weights_of_linear.npz", W=calls_models.W)
        np.save("images.npy", np.zeros((2, 3, 4, 4), np.uint8))
        small_solver.make().save("solver.h5")
        calls_models.small().save("two_layer.npz")
        calls_models.encoder().save("autoencoder.npz")
        checkpoint.save("checkpoint.h5", {"a": 1})
        data_utils.save_patches("patches.h5", calls_data.PATCHES)
        sweep.sweep(calls_data.run, [{"reg": 1}], "trials.jsonl", verbose=False)
        images, few = np.zeros((20, 3, 32, 32), np.uint8), np.zeros(20, np.int64)
        patch.setattr(cifar10, "_read", lambda root: layouts.Cifar10(images, few, images, few))
        yield
