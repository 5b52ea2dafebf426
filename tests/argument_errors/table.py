"""All valid calls in one table, and the form of error messages."""

import re

from .calls_data import DATA
from .calls_layers import LAYERS
from .calls_models import MODELS
from .calls_nn import NN
from .calls_training import TRAINING

TABLE = {**LAYERS, **NN, **TRAINING, **MODELS, **DATA}
STYLE = re.compile(r"^[\w.]+(\([^;]*\))?: [^\n]+; [^\n]+; [^\n]+$")
