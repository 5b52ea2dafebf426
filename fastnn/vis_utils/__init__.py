"""Plots of images, weights, training and sweeps with matplotlib.

Every function returns its Figure (or array), and saves it if a path is given. None uses the state of pyplot, so they
work without a display. A notebook shows the Figure if it is the last expression of a cell.
"""

from .autoencoder import show_autoencoder_features, show_reconstructions
from .histories import plot_acc_curves, plot_stats, training_picture
from .images import show_examples, visualize_grid
from .responses import show_filter_responses
from .sweeps import plot_sweep
from .weights import show_class_templates, show_net_weights

__all__ = [
    "plot_acc_curves",
    "plot_stats",
    "plot_sweep",
    "show_autoencoder_features",
    "show_class_templates",
    "show_examples",
    "show_filter_responses",
    "show_net_weights",
    "show_reconstructions",
    "training_picture",
    "visualize_grid",
]
