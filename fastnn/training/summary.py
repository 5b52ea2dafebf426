"""A Solver as a notebook shows it: how far it is, and the curves of loss and accuracies."""

from typing import Any

from fastnn.output import html


class Summary:
    """What notebooks display of a Solver."""

    def _repr_html_(self: Any) -> str:
        best = f"; best validation accuracy {self.best_val_acc:.3f}" if self.val_acc_history else ""
        rule = getattr(self.update_rule, "__name__", type(self.update_rule).__name__)
        parts = [html.paragraph(f"Solver ({rule}): epoch {self.epoch}, iteration {self.iteration}{best}")]
        if self.stopped:
            parts.append(html.paragraph(f"Stopped early: {self.stopped}"))
        if self.loss_history:
            parts.append(html.curves("training loss", "iteration", {"loss": self.loss_history}, first=1))
        if self.val_acc_history:
            accuracies = {"training": self.train_acc_history, "validation": self.val_acc_history}
            parts.append(html.curves("accuracy", "epoch", accuracies))
        return "".join(parts)
