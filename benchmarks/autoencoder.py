"""Sparse autoencoders on patches of CIFAR-10: images of their features, and the costs of two ways to train.

    python benchmarks/autoencoder.py --hidden 25 64 100 --out runs/autoencoder

For each number of hidden units the same initial weights are trained by L-BFGS on all patches and by Adam on batches.
Features and reconstructions are written as PNG, costs as costs.json. CIFAR-10 is found as in `fastnn.data_utils`.
"""

import argparse
import json
import time
from pathlib import Path

from fastnn.classifiers import SparseAutoencoder
from fastnn.data_utils import cut_patches, get_CIFAR10_data, preprocess_patches
from fastnn.vis_utils import show_autoencoder_features, show_reconstructions

SIZE = 16  # pixels
# rho = 0.01 and lambd = 1e-4, common for 8 x 8 pixels, leave noise of the initial weights in the features; a lambd
# between the two gives sharper reconstructions and less simple features.
PENALTIES = {"rho": 0.05, "beta": 3.0, "lambd": 1e-3}
BATCHES = {"num_epochs": 100, "batch_size": 100, "learning_rate": 3e-3, "update_rule": "adam"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--hidden", type=int, nargs="+", default=[25, 64, 100], help="numbers of hidden units")
    parser.add_argument("--patches", type=int, default=10_000, help="number of patches of 16 x 16 pixels")
    parser.add_argument("--iterations", type=int, default=400, help="maximum number of L-BFGS iterations")
    parser.add_argument("--out", type=Path, default=Path("runs/autoencoder"), help="folder for the results")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    images = get_CIFAR10_data(num_validation=0, num_test=0, subtract_mean=False)["X_train"]
    X = preprocess_patches(cut_patches(images, arguments.patches, SIZE, seed=0))
    results = [run(X, hidden, arguments.iterations, arguments.out) for hidden in arguments.hidden]
    report = {"patches": len(X), "penalties": PENALTIES, "batches": BATCHES, "runs": results}
    (arguments.out / "costs.json").write_text(json.dumps(report, indent=1) + "\n")


def run(X, hidden, iterations, folder):
    """Train both ways, draw the features, return costs and seconds."""
    result = {"hidden": hidden}
    for name in ("lbfgs", "batches"):
        model = SparseAutoencoder(X.shape[1], hidden, **PENALTIES, seed=0)
        start = time.perf_counter()
        if name == "lbfgs":
            history = model.fit_lbfgs(X, iterations)
            result["iterations"] = len(history) - 1
        else:
            history = model.train(X, **BATCHES, seed=0)
        seconds = time.perf_counter() - start
        cost, activation = model.cost(X)[0], float(model.encode(X).mean())
        result[name] = {"cost": cost, "seconds": round(seconds, 1), "mean_activation": activation}
        print(f"{hidden} units, {name}: cost {cost:.4f}, {seconds:.0f} s, mean activation {activation:.4f}", flush=True)
        show_autoencoder_features(model, folder / f"features_{hidden}_{name}.png")
        show_reconstructions(X, model.reconstruct(X), folder / f"reconstructions_{hidden}_{name}.png")
    return result


if __name__ == "__main__":
    main()
