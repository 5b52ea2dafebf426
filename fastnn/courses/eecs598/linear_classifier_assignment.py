"""`linear_classifier` under the name of other copies of the notebook."""

from .linear_classifier import *  # noqa: F403
from .linear_classifier import __all__  # noqa: F401
