"""`two_layer_net` under the name of other copies of the notebook."""

from .two_layer_net import *  # noqa: F403
from .two_layer_net import __all__  # noqa: F401
