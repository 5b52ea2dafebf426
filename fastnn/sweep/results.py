"""The records of a sweep, which notebooks show as a table."""

import math
from collections.abc import Mapping
from typing import Any

from fastnn.output import html


class Trials(list):
    """A list of the records of trials."""

    def _repr_html_(self) -> str:
        """A table, the best trials first; failed ones last, with the reason."""
        names = list(dict.fromkeys(name for trial in self for name in trial["params"]))
        ranked = sorted(
            self, key=lambda trial: -math.inf if trial["val_acc"] is None else trial["val_acc"], reverse=True
        )
        rows = [
            [
                *(_text(trial["params"].get(name, "")) for name in names),
                trial["reason"] or _text(trial["val_acc"]),
                _text(trial["train_acc"]),
                f"{trial['seconds']:.1f}",
            ]
            for trial in ranked
        ]
        return html.table([*names, "val_acc", "train_acc", "seconds"], rows, f"{len(self)} trials")


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_text(one)}" for name, one in value.items())
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
