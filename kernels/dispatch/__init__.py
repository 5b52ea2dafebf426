"""What stands between a public function and the variant that runs: checks of arguments, and the switch.

switch        which backend is active, and its variant of an operation; `active` is the name alone
plugins       backends of other packages
signatures    errors about keywords and numbers of arguments; NumPy's error state
validation    checks of arguments; `wording` of their errors
arrays        what an array is on each backend
windows       geometry of convolution and pooling
multi_tensor  arguments of functions that take many arrays at once
deprecated    former names
"""
