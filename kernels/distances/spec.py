"""Specification of the functions of `distances`; see `dispatch.specification`."""

from ..dispatch.specification import Floats, Function, Number, Timed, sizes

X, Y = Floats("N D"), Floats("M D")

FUNCTIONS = (
    Function("squared_distances", {"x": X, "y": Y}, ("distances",)),
    Function("nearest_neighbors", {"x": X, "y": Y, "k": Number((1, 2, 3), minimum=1, integer=True)}, ("index",)),
)


def _torch_nearest(torch, t, s):
    return torch.cdist(t.x, t.y).topk(s["k"], largest=False).indices


def _sklearn_distances(t, s):
    from sklearn.metrics.pairwise import euclidean_distances

    return lambda: euclidean_distances(t.x, t.y, squared=True)


def _sklearn_nearest(t, s):
    from sklearn.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=s["k"], algorithm="brute").fit(t.y)
    return lambda: model.kneighbors(t.x, return_distance=False)


def _timed(name, peer, sklearn, case, label):
    return Timed(
        name,
        {"forward": name},
        (case,),
        lambda s, itemsize: {"forward": 2.0 * s["N"] * s["D"] * s["M"]},
        unit="FLOP/s",
        label=label,
        terms=lambda s: s["D"],
        peer={"forward": peer},
        sklearn=sklearn,
    )


COURSE = sizes((500, 3072), M=5000)  # the images of the courses' first assignment

TIMED = (
    _timed(
        "squared_distances",
        lambda torch, t, s: torch.cdist(t.x, t.y).square(),
        _sklearn_distances,
        COURSE,
        lambda s: f"x{s['M']}",
    ),
    _timed(
        "nearest_neighbors",
        _torch_nearest,
        _sklearn_nearest,
        {**COURSE, "k": 5, "headline": True},  # without ties, which PyTorch and scikit-learn break at will
        lambda s: f"x{s['M']} k{s['k']}",
    ),
)
