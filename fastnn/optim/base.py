"""The base of the optimizers: groups of parameters, steps, state."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from fastnn import arguments
from fastnn.autograd import Tensor
from fastnn.kernels.dispatch import arrays, signatures, validation
from fastnn.kernels.updates.rules import LIMITS

from .functions import DEFAULTS, RULES, STATE, update

_KEYS = {"lr": "learning_rate", "eps": "epsilon", "alpha": "decay_rate", "initial_accumulator_value": "cache"}
_LIMITS = {**LIMITS, "cache": {"minimum": 0}, "lr_decay": {"minimum": 0}}
Numbers = dict[str, Any]


class Optimizer:
    """Base of the optimizers.

    params: an iterable of Tensors, or of dicts {"params": Tensors, option: value, ...} of parameters with options of
        their own
    param_groups: a list of such dicts, with all options; changes hold from the next step, as of
        param_groups[0]["lr"]
    state: for each parameter that was updated, a dict of the arrays and numbers that its rule keeps; t counts updates
    """

    _rules: tuple[str, ...]  # of `fastnn.optim.RULES`
    _more: tuple[str, ...] = ()  # numbers in the state of a parameter, beside t

    def __init__(self, params: Iterable[Any], options: dict[str, Any]) -> None:
        self.defaults: dict[str, Any] = arguments.unshared(options)
        self._rule_and_numbers(options)
        self.state: dict[Tensor, dict[str, Any]] = {}
        self.param_groups: list[dict[str, Any]] = []
        given = self._listed(params)
        for group in given if given and all(isinstance(one, Mapping) for one in given) else [{"params": given}]:
            self.add_param_group(group)
        if not any(p.requires_grad for p in self._parameters()):
            raise ValueError(
                f"{self._name}: params contains no Tensor that requires a gradient, so nothing would be updated; "
                f"expected parameters; create them with requires_grad=True"
            )

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _parameters(self) -> Iterator[Tensor]:
        return (p for group in self.param_groups for p in group["params"])

    @signatures.checked
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters.

        param_group: a dict {"params": Tensors, option: value, ...}; missing options get the defaults
        """
        function = f"{self._name}.add_param_group"
        given = validation.keys(function, "param_group", param_group, required=("params",), optional=self.defaults)
        own = {option: arguments.unshared(given[option]) for option in given if option != "params"}
        group = {**self.defaults, **own, "params": self._listed(given["params"])}
        self._rule_and_numbers(group)
        known = {id(p) for p in self._parameters()}
        for p in group["params"]:
            if not isinstance(p, Tensor) or not p.is_leaf or p.dtype.kind != "f":
                raise TypeError(
                    f"{self._name}: params contains {validation.brief(p)}; expected Tensors of floats that no "
                    f"operation made, such as model.parameters(); pass a list of them"
                )
            if id(p) in known:
                raise ValueError(
                    f"{self._name}: params contains a Tensor of shape {p.shape} twice; expected each parameter once, "
                    f"in one group; remove one of them"
                )
            known.add(id(p))
        self.param_groups.append(group)

    @signatures.checked
    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters.

        set_to_none: False fills them with zeros instead
        """
        set_to_none = validation.flag(f"{self._name}.zero_grad", "set_to_none", set_to_none)
        for p in self._parameters():
            if set_to_none:
                p.grad = None
            elif p.grad is not None:
                p.grad.zero_()

    def step(self) -> None:
        """Update in place the parameters that have a gradient.

        Raises ValueError or TypeError for options that the rule does not take, and then changes no parameter.
        """
        for rule, updated in self._by_rule().items():
            data: dict[int, Any] = {}
            grads: dict[int, Any] = {}
            configs: dict[int, dict[str, Any]] = {}
            for i, (p, numbers) in enumerate(updated):
                self._check_writeable(p)
                is_direct = arrays.is_plain(p.data) and not self._holds_still(rule, numbers)
                data[i] = p.data if is_direct else arrays.copy(p.data, order="C")
                grads[i], configs[i] = p.grad.data, self._config(rule, p, numbers)
            update(RULES[rule], data, grads, configs)
            for i, (p, numbers) in enumerate(updated):
                if data[i] is not p.data and not self._holds_still(rule, numbers):
                    p.data[...] = data[i]
                p.mark_changed()
                state = self.state.setdefault(p, {})
                state.update({key: configs[i][key] for key in STATE[rule]}, t=state.get("t", 0) + 1)

    def _by_rule(self) -> dict[str, list[tuple[Any, Numbers]]]:
        """The parameters that have a gradient, with the hyperparameters of their group, for each rule."""
        found: dict[str, list[tuple[Any, Numbers]]] = {}
        for group in self.param_groups:
            rule, numbers = self._rule_and_numbers(group)
            found.setdefault(rule, []).extend((p, numbers) for p in group["params"] if p.grad is not None)
        return found

    def _rule_and_numbers(self, group: dict[str, Any]) -> tuple[str, Numbers]:
        """The rule for the options of a group, and the checked options under the names of a config."""
        numbers: Numbers = {}
        for option, value in group.items():
            key = _KEYS.get(option, option)
            if option == "betas":
                numbers["beta1"], numbers["beta2"] = self._pair(value)
            elif key in _LIMITS:
                numbers[key] = validation.number(self._name, option, value, **_LIMITS[key])
            elif option != "params":
                numbers[key] = validation.flag(self._name, option, value)
        return self._rules[0], numbers

    def _config(self, rule: str, p: Tensor, numbers: Numbers) -> dict[str, Any]:
        """The config of `rule` for the next update of a parameter."""
        state = self.state.get(p, {})
        config = {key: state.get("t", 0) if key == "t" else numbers[key] for key in DEFAULTS[rule]}
        for key in STATE[rule]:
            if key in state:
                config[key] = arrays.on_same_device(state[key], p.data)
        return config

    def _holds_still(self, rule: str, numbers: Numbers) -> bool:
        """Whether an update must not change the parameter."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """The state and the options as a dict that `fastnn.checkpoint.save` takes.

        Returns {"state": {"0": {name: NumPy array or number}, ...}, "param_groups": [{option: value, "params": [0,
        ...]}, ...]}. Parameters are numbered through all groups; the arrays are copies.
        """
        numbers = {p: i for i, p in enumerate(self._parameters())}
        groups = [{**group, "params": [numbers[p] for p in group["params"]]} for group in self.param_groups]
        state = {str(numbers[p]): {key: _copied(value) for key, value in self.state[p].items()} for p in self.state}
        return {"state": state, "param_groups": groups}

    @signatures.checked
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with the state and the options of another optimizer.

        state_dict: from `state_dict()` of an optimizer of the same class and parameters
        Raises ValueError or TypeError for a state of other parameters, and then changes nothing.
        """
        function = f"{self._name}.load_state_dict"
        parts = validation.keys(function, "state_dict", state_dict, required=("state", "param_groups"))
        named = arguments.listed(function, "state_dict['param_groups']", parts["param_groups"], "dicts of options")
        groups = []
        for i, group in enumerate(named):
            where = f"state_dict['param_groups'][{i}]"
            options = validation.keys(function, where, group, required=(*self.defaults, "params"))
            self._rule_and_numbers(options)
            groups.append(
                {**options, "params": arguments.listed(function, f"{where}['params']", group["params"], "numbers")}
            )
        lengths, own = [[len(group["params"]) for group in some] for some in (groups, self.param_groups)]
        if lengths != own:
            raise ValueError(
                f"{function}: state_dict['param_groups'] has {lengths} parameters; expected {own}, as this optimizer; "
                f"create it with the parameters of the one that was saved"
            )
        state = self._loaded(function, arguments.mapping(function, "state_dict['state']", parts["state"], "states"))
        for group, loaded in zip(self.param_groups, groups, strict=True):
            group.update({option: arguments.unshared(loaded[option]) for option in self.defaults})
        self.state = state

    def _loaded(self, function: str, given: Mapping[Any, Any]) -> dict[Tensor, dict[str, Any]]:
        """The state of each parameter, checked and copied to the memory of the parameter."""
        parameters = {str(i): p for i, p in enumerate(self._parameters())}
        named = {str(key): value for key, value in given.items()}
        validation.keys(function, "state_dict['state']", named, optional=parameters)
        names = {name for rule in self._rules for name in STATE[rule]}
        state: dict[Tensor, dict[str, Any]] = {}
        for i, values in named.items():
            p, where = parameters[i], f"state_dict['state'][{i!r}]"
            validation.keys(function, where, values, optional=("t", *names, *self._more))
            kept = state[p] = {"t": validation.integer(function, f"{where}['t']", values.get("t", 0), minimum=0)}
            for key in self._more:
                if key in values:
                    kept[key] = validation.number(function, f"{where}[{key!r}]", values[key], above=0)
            for key in names & values.keys():
                array = arguments.real(function, f"{where}[{key!r}]", values[key], p.dtype)
                validation.shape(function, f"{where}[{key!r}]", array, p.shape)
                kept[key] = arrays.on_same_device(arrays.copy(array, order="C"), p.data)
        return state

    def _listed(self, values: Any) -> list[Any]:
        """Convert an iterable other than a Tensor or an array to a list, which must not be empty."""
        if isinstance(values, (Tensor, np.ndarray)):
            raise TypeError(
                f"{self._name}: params is a single array of shape {values.shape}; expected an iterable of Tensors; "
                f"pass a list, [w]"
            )
        listed = arguments.listed(self._name, "params", values, "Tensors")
        if not listed:
            raise ValueError(
                f"{self._name}: params={validation.brief(values)} is empty; expected at least one Tensor; pass the "
                f"parameters, such as [w, b] (an iterator can be read only once)"
            )
        return listed

    def _check_writeable(self, p: Tensor) -> None:
        if isinstance(p.data, np.ndarray) and not p.data.flags.writeable:
            raise ValueError(
                f"{self._name}: the data of a parameter of shape {p.shape} are read-only; expected an array that can "
                f"be changed; create the Tensor from a copy"
            )

    def __repr__(self) -> str:
        groups = [
            ", ".join(f"{option}={value}" for option, value in group.items() if option != "params")
            for group in self.param_groups
        ]
        counts = [f"{len(group['params'])} parameters" for group in self.param_groups]
        return f"{self._name}({'; '.join(f'{n}: {g}' for n, g in zip(counts, groups, strict=True))})"

    def _pair(self, value: Any) -> tuple[float, float]:
        """Check betas."""
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            raise TypeError(
                f"{self._name}: betas={validation.brief(value)} is not a pair; expected (beta1, beta2); pass such as "
                f"(0.9, 0.999)"
            )
        beta1, beta2 = (
            validation.number(self._name, f"betas[{i}]", beta, **_LIMITS[f"beta{i + 1}"])
            for i, beta in enumerate(value)
        )
        return beta1, beta2

    def _check_off(self, option: str, value: Any) -> None:
        """Raise for an option of PyTorch's that the kernels do not have, unless it is 0 or False."""
        given = arguments.unshared(value)  # a 0-d array as its number
        is_number = not isinstance(given, bool) and isinstance(given, (int, float, np.number))
        if not (given is False or (is_number and given == 0)):
            raise ValueError(
                f"{self._name}: {option}={validation.brief(value)} is not supported; expected 0 or False; leave it out"
            )


def _copied(value: Any) -> Any:
    """A copy on the host of an array; a number itself."""
    return arrays.copy(arrays.to_numpy(value)) if hasattr(value, "shape") else value
