"""A tree with values of every kind that a checkpoint can hold, and an exact comparison of trees."""

import math

import numpy as np


def tree_of_everything():
    generator = np.random.default_rng(7)
    return {
        "params": {"W1": generator.standard_normal((3, 4)), "b1": np.zeros(0, np.float32), "empty": np.zeros((0, 3))},
        "arrays": {
            dtype: np.arange(6).reshape(2, 3).astype(dtype)
            for dtype in ("bool", "uint8", "int64", ">i4", "float16", "float32", "complex128")
        },
        "zero_dimensional": np.array(1.5),
        "scalars": {"float32": np.float32(0.1), "float64": np.float64(0.1), "bool": np.bool_(True)},
        "generator": generator.bit_generator.state,
        "numbers": {"zero": 0, "large": -(2**200), "edge": 2**63, "minus": -0.0, "nan": math.nan, "inf": math.inf},
        "flags": {"yes": True, "no": False, "nothing": None},
        "texts": ["", "läuft", "two\nlines"],
        "loss_history": [2.5, math.nan, 0.1],
        "counts": [1, 2**63 - 1],
        "large_counts": [1, 2**63],
        "mixed": [1, 2.0, True, None, "a", [], {}, (1, (2.0,)), np.float32(3)],
        "no members": {},
        "a/b": {".": 1, "..": 2, "100%": 3, "%2F": 4, "\0": 5, "ключ": 6},
    }


def assert_identical(actual, expected):
    """Assert equal bits, types, dtypes, shapes and order of keys."""
    if isinstance(expected, dict):
        assert list(actual) == list(expected)
        for key in expected:
            assert_identical(actual[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        assert type(actual) is type(expected)
        assert len(actual) == len(expected)
        for pair in zip(actual, expected, strict=True):
            assert_identical(*pair)
    elif isinstance(expected, (np.ndarray, np.generic)):
        assert type(actual) is type(expected)
        assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
        assert actual.tobytes() == expected.tobytes()
    else:
        assert type(actual) is type(expected)
        assert repr(actual) == repr(expected)
