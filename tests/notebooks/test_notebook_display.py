"""What a notebook shows of networks, Solvers, sweeps and pictures, and what Ctrl-C leaves; executed with nbclient."""

import re

import nbclient
import nbformat
import pytest

SETUP = """\
import os, signal
import numpy as np
from fastnn import nn, vis_utils
from fastnn.data_utils import get_shapes_data
from fastnn.solver import Solver
from fastnn.sweep import grid, sweep
data = get_shapes_data(40, 20, 5)
model = nn.Sequential(nn.Conv2d(3, 2, 3, stride=2, seed=0), nn.ReLU(), nn.Flatten(), nn.Linear(450, 10, seed=1))

def press_ctrl_c(solver):
    if solver.iteration == 7:
        os.kill(os.getpid(), signal.SIGINT)

solver = Solver(model, data, num_epochs=3, batch_size=10, verbose=False, seed=0, callbacks=[press_ctrl_c])
"""
CELLS = {
    "setup": SETUP,
    "interrupted": "solver.train()",
    "state": "print(solver.iteration, len(solver.loss_history), solver.epoch)",
    "resumed": "solver.train(); print(solver.iteration, len(solver.loss_history))",
    "model": "model",
    "layer": "model.layers[0]",
    "solver": "solver",
    "figure": "vis_utils.plot_stats(solver)",
    "sweep": "sweep(lambda params: {'val_acc': params['lr']}, grid(lr=[0.25, 0.5]), verbose=False)",
    "bar": """\
from types import SimpleNamespace
from fastnn.data_utils import download
with download._progress_bar(SimpleNamespace(size=100, name="archive"), 40) as bar:
    bar.update(60)""",
}  # fmt: skip


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Run the cells once; return the outputs of each by its name."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS.values()])
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", allow_errors=True, resources={"metadata": {"path": folder}}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTNN_BACKEND", "vectorized")
        patch.setenv("OMP_NUM_THREADS", "1")
        client.execute()
    return {name: cell.outputs for name, cell in zip(CELLS, notebook.cells, strict=True)}


def text(outputs):
    return "".join(output["text"] for output in outputs if output.output_type == "stream")


def data(outputs):
    (output,) = outputs
    return output["data"]


def test_ctrl_c_leaves_the_state_of_the_last_iteration(outputs):
    (error,) = outputs["interrupted"]
    assert error["ename"] == "KeyboardInterrupt"
    assert text(outputs["state"]).split() == ["7", "7", "1"]
    assert text(outputs["resumed"]).split() == ["12", "12"]


def test_a_network_is_a_table_of_its_layers(outputs):
    html = data(outputs["model"])["text/html"]
    assert html.startswith('<table><caption style="text-align: left">Sequential: 4,566 parameters</caption>')
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html)
    assert cells[:3] == ["(0) Conv2d(3, 2, 3, stride=2)", "weight (2, 3, 3, 3), bias (2,)", "56"]
    assert cells[-3:] == ["(3) Linear(450, 10)", "weight (450, 10), bias (10,)", "4,510"]
    assert data(outputs["layer"]) == {"text/plain": "Conv2d(3, 2, 3, stride=2)"}


def test_a_solver_shows_its_curves(outputs):
    html = data(outputs["solver"])["text/html"]
    assert "Solver (sgd): epoch 3, iteration 12; best validation accuracy 0." in html
    assert html.count("<svg ") == 2
    assert re.search(r'aria-label="training loss: loss ends at \d', html)
    points = re.findall(r'<polyline points="([^"]*)"', html)
    assert [len(line.split()) for line in points] == [12, 4, 4]


def test_pictures_return_figures(outputs):
    assert data(outputs["figure"])["image/png"].startswith("iVBOR")


def test_a_sweep_is_a_table_with_the_best_first(outputs):
    html = data(outputs["sweep"])["text/html"]
    assert re.findall(r"<th[^>]*>(.*?)</th>", html) == ["lr", "val_acc", "train_acc", "seconds"]
    assert re.findall(r"<td[^>]*>(.*?)</td>", html)[:2] == ["0.5", "0.5"]


def test_a_download_shows_its_progress(outputs):
    shown = text(outputs["bar"]) + "".join(str(output.get("data", "")) for output in outputs["bar"])
    assert "100%" in shown or "HBox" in shown  # a widget, if ipywidgets is installed
