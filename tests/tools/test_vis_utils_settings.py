"""Pictures do not depend on the user's matplotlib backend and matplotlibrc, and change neither."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

DRAW = """
import hashlib, sys
from pathlib import Path
import numpy as np
from fastnn import vis_utils
from fastnn.benchmarking import chart

random = np.random.default_rng(0)
stats = {"loss_history": [2.0, 1.0, 0.5], "train_acc_history": [0.1, 0.2], "val_acc_history": [0.2, 0.1]}
trials = [
    {"params": {"learning_rate": rate, "reg": 0.1}, "val_acc": rate, "train_acc": 0.5, "status": "finished",
     "reason": None, "seconds": 1.0, "number": number}
    for number, rate in enumerate((0.1, 0.2, 0.3), 1)
]
filters, image = random.random((4, 3, 3, 3)), random.random((3, 8, 8))
entry = {"case": "affine 2x3x4", "pass": "forward", "seconds": {"naive": {"median": 1.0}, "njit": {"median": 0.5}}}
report = {"results": [entry], "backends": ["naive", "njit"], "machine": {"cpu": "a machine"}, "threads": 1,
          "dtype": "float32", "subject": "njit", "peer": False}
pictures = {
    "plot_stats": lambda path: vis_utils.plot_stats(stats, path),
    "plot_acc_curves": lambda path: vis_utils.plot_acc_curves({"a": stats}, path),
    "training_picture": lambda path: vis_utils.training_picture(stats, filters, path),
    "show_examples": lambda path: vis_utils.show_examples(random.random((4, 3, 4, 4)), [0, 1, 0, 1], ["a", "b"],
                                                          path=path),
    "show_net_weights": lambda path: vis_utils.show_net_weights(filters, path),
    "show_class_templates": lambda path: vis_utils.show_class_templates(random.random((48, 2)), ["a", "b"], path,
                                                                        (3, 4, 4)),
    "show_filter_responses": lambda path: vis_utils.show_filter_responses(filters, image, path=path),
    "show_autoencoder_features": lambda path: vis_utils.show_autoencoder_features(random.random((16, 4)), path),
    "show_reconstructions": lambda path: vis_utils.show_reconstructions(*random.random((2, 4, 16)), path),
    "plot_sweep": lambda path: vis_utils.plot_sweep(trials, path),
    "chart": lambda path: chart.draw(report, path),
}
assert not {name for name in vis_utils.__all__ if name not in pictures} - {"visualize_grid"}
for name, draw in pictures.items():
    figure = draw("picture.png")
    shown = hashlib.sha256(figure._repr_png_()).hexdigest()
    print(name, hashlib.sha256(Path("picture.png").read_bytes()).hexdigest(), shown)
import matplotlib
assert "matplotlib.pyplot" not in sys.modules
print("now", matplotlib.rcParams["text.usetex"], matplotlib.rcParams["font.family"], file=sys.stderr)
"""
HOSTILE = """
font.family: Nowhere
font.size: 30
text.usetex: True
axes.facecolor: red
axes.grid: True
lines.linewidth: 9
figure.dpi: 300
savefig.format: pdf
savefig.transparent: True
savefig.bbox: tight
"""


def drawn(folder, **environment):
    command = [sys.executable, "-c", DRAW]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr.splitlines()[-1]


def test_pictures_do_not_depend_on_the_settings_and_leave_them(tmp_path):
    expected, settings = drawn(tmp_path)
    assert settings == "now False ['sans-serif']"
    Path(tmp_path, "matplotlibrc").write_text(HOSTILE)
    actual, settings = drawn(tmp_path, MPLBACKEND="module://matplotlib_inline.backend_inline")
    assert settings == "now True ['Nowhere']"
    assert actual == expected


def test_the_environment_is_left_as_it_was(tmp_path):
    code = "import os\nfrom fastnn.vis_utils import picture\nprint(os.environ['MPLBACKEND'])"
    environment = {**os.environ, "MPLBACKEND": "nonsense"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert (done.stdout, done.stderr) == ("nonsense\n", "")


@pytest.mark.parametrize(("name", "written"), [("a.png", "a.png"), ("a", "a.png"), ("a.svg", "a.svg"), ("a.b", None)])
def test_the_format_is_that_of_the_name(tmp_path, name, written):
    from fastnn import vis_utils

    stats = {"loss_history": [2.0], "train_acc_history": [0.1], "val_acc_history": [0.2]}
    if written is None:
        with pytest.raises(ValueError, match="'b' is not supported"):
            vis_utils.plot_stats(stats, tmp_path / name)
    else:
        vis_utils.plot_stats(stats, tmp_path / name)
    assert os.listdir(tmp_path) == ([] if written is None else [written])


def test_a_picture_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    import matplotlib.figure

    from fastnn import vis_utils

    def fail(self, path, **_):
        Path(path).write_text("half")
        raise OSError(28, "No space left on device")

    (tmp_path / "a.png").write_text("whole")
    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", fail)
    stats = {"loss_history": [2.0], "train_acc_history": [0.1], "val_acc_history": [0.2]}
    with pytest.raises(OSError, match="No space left"):
        vis_utils.plot_stats(stats, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_text() == "whole"
    assert os.listdir(tmp_path) == ["a.png"]
