"""The course's form of a layer: a class with the static methods `forward` and `backward`."""

import sys
from collections.abc import Callable


def layer(name: str, forward: Callable, backward: Callable, **others: Callable) -> type:
    """Return a class called `name`, in the module that calls this, with functions as static methods."""
    methods = {"forward": forward, "backward": backward, **others}
    return type(
        name,
        (),
        {
            "__doc__": f"forward: `{forward.__name__}`; backward: `{backward.__name__}`. See their docstrings.",
            "__module__": sys._getframe(1).f_globals["__name__"],
            **{method: staticmethod(function) for method, function in methods.items()},
        },
    )
