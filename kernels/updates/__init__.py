"""Update rules of stochastic gradient descent: compute new weights from the weights and their gradient.

All functions have in common: w and dw have the same, arbitrary shape and are float32 or float64 (integers are computed
in float64); they are not modified. The new weights are written to `out`, which may be w itself; state arrays (velocity,
cache, m, v) are updated in place; the functions return None. Arrays that are written must be writeable C-contiguous
NumPy arrays in the shape and dtype of w, since the update of a converted copy would be lost, and must not share memory
with any other array (except out with w). dw is converted to the dtype of w. Every operation is element-wise. In the
formulas g is dw + weight_decay * w, the gradient of the loss plus a penalty weight_decay/2 * sum(w**2); it is exactly
dw if weight_decay = 0, even for infinite w, and always in `adamw_update` and `lion_update`. weight_decay >= 0.

To update many parameters in one call, pass lists of equal length for w and every other array, and for each number
either a list or one value for all parameters. The result equals that of updating the parameters one by one.

Every backend: computed in the dtype of w; NaN spreads as the formula says; empty arrays stay unchanged. Raises
ValueError for shapes, layouts, numbers or lengths of lists that do not match, TypeError for unsupported dtypes; in both
cases no parameter is changed. Cost: one pass over memory.
"""

from ..dispatch import multi_tensor, signatures, switch, validation
from .rules import LIMITS, RULES

_variant = switch.operation(__name__)
_CHECKS = {name: (name, validation.integer if name == "t" else validation.number, LIMITS[name]) for name in LIMITS}
_ARGUMENTS = {  # for each function the names of the written arrays and the checks of the hyperparameters
    rule.kernel: ((*rule.state, "out"), [_CHECKS[name] for name in rule.hyperparameters]) for rule in RULES.values()
}


@signatures.checked
def sgd_update(w, dw, out, learning_rate, weight_decay=0.0):
    """Gradient descent: out = w - learning_rate * g.

    Inputs: w (...) weights, dw (...) gradient, out (...) result; learning_rate, weight_decay >= 0.
    Source: Robbins & Monro, A stochastic approximation method (1951).
    """
    written, numbers = (out,), (learning_rate, weight_decay)
    _variant().sgd_update(*_checked("sgd_update", w, dw, written, numbers))


@signatures.checked
def momentum_update(w, dw, velocity, out, learning_rate, momentum, weight_decay=0.0):
    """Gradient descent with momentum: velocity = momentum * velocity - learning_rate * g, then out = w + velocity.

    Inputs: w (...) weights, dw (...) gradient, velocity (...) state, out (...) result;
    learning_rate, weight_decay >= 0; 0 <= momentum < 1.
    Source: Polyak, Some methods of speeding up the convergence of iteration methods (1964); in this form Sutskever,
    Martens, Dahl & Hinton, On the importance of initialization and momentum in deep learning (2013), section 2.
    """
    written, numbers = (velocity, out), (learning_rate, momentum, weight_decay)
    _variant().momentum_update(*_checked("momentum_update", w, dw, written, numbers))


@signatures.checked
def nesterov_update(w, dw, velocity, out, learning_rate, momentum, weight_decay=0.0):
    """Nesterov's accelerated gradient; w is the look-ahead point.

        velocity' = momentum * velocity - learning_rate * g
        out = w - momentum * velocity + (1 + momentum) * velocity'

    Inputs: w (...) weights, dw (...) gradient, velocity (...) state, out (...) result;
    learning_rate, weight_decay >= 0; 0 <= momentum < 1.
    Source: Nesterov, A method of solving a convex programming problem with convergence rate O(1/k^2) (1983); in this
    form Bengio, Boulanger-Lewandowski & Pascanu, Advances in optimizing recurrent networks (2013), section 3.5.
    """
    written, numbers = (velocity, out), (learning_rate, momentum, weight_decay)
    _variant().nesterov_update(*_checked("nesterov_update", w, dw, written, numbers))


@signatures.checked
def rmsprop_update(w, dw, cache, out, learning_rate, decay_rate, epsilon, weight_decay=0.0):
    """RMSProp: steps divided by a running root mean square of the gradient.

        cache = decay_rate * cache + (1 - decay_rate) * g**2,    out = w - learning_rate * g / (sqrt(cache) + epsilon)

    Inputs: w (...) weights, dw (...) gradient, cache (...) state, not negative, out (...) result;
    learning_rate, weight_decay >= 0; 0 <= decay_rate < 1; epsilon > 0.
    Source: Tieleman & Hinton, Neural networks for machine learning, lecture 6.5 (2012).
    """
    written, numbers = (cache, out), (learning_rate, decay_rate, epsilon, weight_decay)
    _variant().rmsprop_update(*_checked("rmsprop_update", w, dw, written, numbers))


@signatures.checked
def adagrad_update(w, dw, cache, out, learning_rate, epsilon, weight_decay=0.0):
    """AdaGrad: cache = cache + g**2, then out = w - learning_rate * g / (sqrt(cache) + epsilon).

    Inputs: w (...) weights, dw (...) gradient, cache (...) state, not negative, out (...) result;
    learning_rate, weight_decay >= 0; epsilon > 0.
    Source: Duchi, Hazan & Singer, Adaptive subgradient methods (2011), section 1.1, the diagonal form.
    """
    written, numbers = (cache, out), (learning_rate, epsilon, weight_decay)
    _variant().adagrad_update(*_checked("adagrad_update", w, dw, written, numbers))


@signatures.checked
def adam_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay=0.0):
    """Adam: momentum and RMSProp, both with bias correction.

        m = beta1 * m + (1 - beta1) * g,    v = beta2 * v + (1 - beta2) * g**2
        out = w - learning_rate * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + epsilon)

    Inputs: w (...) weights, dw (...) gradient, m (...), v (...) state, v not negative, out (...) result; t: the
    number of this update, from 1; learning_rate, weight_decay >= 0; 0 <= beta1 < 1; 0 <= beta2 < 1; epsilon > 0.
    Source: Kingma & Ba, Adam: a method for stochastic optimization (2015), algorithm 1.
    """
    written, numbers = (m, v, out), (t, learning_rate, beta1, beta2, epsilon, weight_decay)
    _variant().adam_update(*_checked("adam_update", w, dw, written, numbers))


@signatures.checked
def adamw_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay):
    """Adam with decoupled weight decay: m and v as in `adam_update`, and the decay is applied to the weights.

        out = w - learning_rate * ((m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + epsilon) + weight_decay * w)

    Inputs: as in `adam_update`.
    Source: Loshchilov & Hutter, Decoupled weight decay regularization (2019), algorithm 2, with the learning rate as
    its schedule.
    """
    written, numbers = (m, v, out), (t, learning_rate, beta1, beta2, epsilon, weight_decay)
    _variant().adamw_update(*_checked("adamw_update", w, dw, written, numbers))


@signatures.checked
def lion_update(w, dw, m, out, learning_rate, beta1, beta2, weight_decay=0.0):
    """Lion: the sign of a moving average of the gradient, with decoupled weight decay.

        out = w - learning_rate * (sign(beta1 * m + (1 - beta1) * g) + weight_decay * w)
        m = beta2 * m + (1 - beta2) * g

    Inputs: w (...) weights, dw (...) gradient, m (...) state, out (...) result;
    learning_rate, weight_decay >= 0; 0 <= beta1 < 1; 0 <= beta2 < 1.
    Every backend: the sign of 0 is 0, that of NaN is NaN. Backends may differ if a sign depends on rounding.
    Source: Chen et al., Symbolic discovery of optimization algorithms (2023), algorithm 2.
    """
    written, numbers = (m, out), (learning_rate, beta1, beta2, weight_decay)
    _variant().lion_update(*_checked("lion_update", w, dw, written, numbers))


def _checked(function, w, dw, written, numbers):
    """Return the checked arguments in the order of the public function: lists with an entry for each parameter.

    written: the state arrays and out; numbers: the hyperparameters
    """
    names, checks = _ARGUMENTS[function]
    suffixes, columns = multi_tensor.checked(function, {"w": w, "dw": dw}, dict(zip(names, written, strict=True)))
    for (name, check, limits), value in zip(checks, numbers, strict=True):
        columns.append(multi_tensor.each(check, function, name, value, suffixes, **limits))
    return columns
