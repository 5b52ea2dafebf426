"""Specification of the functions of `augment`; see `dispatch.specification`."""

from ..dispatch.specification import IMAGES, Flags, Floats, Function, Pixels, Timed, sizes

ARGUMENTS = {
    "x": Floats(IMAGES),
    "top": Pixels(),
    "left": Pixels(),
    "flip": Flags(),
    "hole_top": Pixels(),
    "hole_left": Pixels(),
    "hole_size": Pixels(negative=False),
}

FUNCTIONS = (Function("augment_images", ARGUMENTS, ("out",)),)

TIMED = (
    Timed(
        "augment_images",
        {"forward": "augment_images"},
        (sizes((128, 3, 32, 32)),),
        lambda s, itemsize: {"forward": 2.0 * itemsize * s["x"]},
        numbers={"top": (-4, 5), "left": (-4, 5), "hole_top": (0, 32), "hole_left": (0, 32), "hole_size": (8, 9)},
    ),
)
