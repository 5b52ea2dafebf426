"""Specification of the functions of `distances`; see `dispatch.specification`."""

from ..dispatch.specification import Floats, Function, Number, Timed, sizes

X, Y = Floats("N D"), Floats("M D")

FUNCTIONS = (
    Function("squared_distances", {"x": X, "y": Y}, ("distances",)),
    Function("nearest_neighbors", {"x": X, "y": Y, "k": Number((1, 2, 3), minimum=1, integer=True)}, ("index",)),
)


def _torch_nearest(torch, t, s):
    return torch.cdist(t.x, t.y).topk(s["k"], largest=False).indices


def _timed(name, peer, case, label):
    return Timed(
        name,
        {"forward": name},
        (case,),
        lambda s, itemsize: {"forward": 2.0 * s["N"] * s["D"] * s["M"]},
        unit="FLOP/s",
        label=label,
        terms=lambda s: s["D"],
        peer={"forward": peer},
    )


COURSE = sizes((500, 3072), M=5000)  # the images of the courses' first assignment

TIMED = (
    _timed("squared_distances", lambda torch, t, s: torch.cdist(t.x, t.y).square(), COURSE, lambda s: f"x{s['M']}"),
    _timed("nearest_neighbors", _torch_nearest, {**COURSE, "k": 5, "headline": True}, lambda s: f"x{s['M']} k{s['k']}"),
)
