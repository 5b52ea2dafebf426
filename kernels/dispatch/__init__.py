"""Argument checks and the backend switch: everything between a public function and the variant that runs.

switch        the active backend and its variant of an operation
active        the name of the active backend, without imports
plugins       backends from other packages
signatures    decorators: clear errors for wrong keywords, independence of NumPy's error state
tensors       torch tensors as arguments and results
validation    checks of argument values
wording       parts of error messages
arrays        array functions for NumPy and device arrays
windows       shapes of convolutions and poolings
multi_tensor  checks of functions that take lists of arrays
deprecated    former names
"""
