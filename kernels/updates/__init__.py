"""Update rules of stochastic gradient descent: new weights from old ones and their gradient.

Common to all of them. w and dw have one shape, any; float32 or float64 (integers are computed in float64); they are
not modified. The new weights are written to `out`, which may be w itself; state arrays (velocity, cache, m, v) are
updated in place; the functions return None. Arrays that are written must be writeable C-contiguous NumPy arrays in the
shape and dtype of w, since a converted copy would lose the update, and share memory with no other (but out with w). dw
is converted to the dtype of w where it differs. Every operation is element by element. In the formulas g is
dw + weight_decay * w, the gradient of the loss plus a penalty weight_decay/2 * sum(w**2), and for weight_decay = 0 just
dw, whatever w; in `adamw_update` it always is dw. weight_decay >= 0.

For many parameters at once, w and every other array may be lists of as many arrays, and any number a list of as many
numbers, else it holds for all of them. The result is that of updating one after the other.

Every backend: computed in the dtype of w; NaN spreads as the formula says; empty arrays are left as they are. Raises
ValueError for shapes, layouts, numbers and lengths of lists that do not fit, TypeError for dtypes that do not; then
nothing was written, to none of the parameters. Cost: one pass over memory.
"""

from ..dispatch import multi_tensor, signatures, switch, validation

_variant = switch.operation(__name__)


@signatures.checked
def sgd_update(w, dw, out, learning_rate, weight_decay=0.0):
    """Gradient descent: out = w - learning_rate * g.

    Inputs: w, dw, out (...); learning_rate >= 0.
    Source: Robbins & Monro, A stochastic approximation method (1951).
    """
    function = "sgd_update"
    places, w, dw, out = _arrays(function, w, dw, out=out)
    rate, decay = _learning_rate(function, places, learning_rate), _weight_decay(function, places, weight_decay)
    _variant().sgd_update(w, dw, out, rate, decay)


@signatures.checked
def momentum_update(w, dw, velocity, out, learning_rate, momentum, weight_decay=0.0):
    """Gradient descent with momentum: velocity = momentum * velocity - learning_rate * g, then out = w + velocity.

    Inputs: w, dw, velocity, out (...); learning_rate >= 0; 0 <= momentum < 1.
    Source: Polyak, Some methods of speeding up the convergence of iteration methods (1964); in this form Sutskever,
    Martens, Dahl & Hinton, On the importance of initialization and momentum in deep learning (2013), section 2.
    """
    function = "momentum_update"
    places, w, dw, velocity, out = _arrays(function, w, dw, velocity=velocity, out=out)
    rates = _learning_rate(function, places, learning_rate), _fraction(function, places, "momentum", momentum)
    _variant().momentum_update(w, dw, velocity, out, *rates, _weight_decay(function, places, weight_decay))


@signatures.checked
def nesterov_update(w, dw, velocity, out, learning_rate, momentum, weight_decay=0.0):
    """Nesterov's accelerated gradient, with w standing for the point looked ahead to.

        velocity' = momentum * velocity - learning_rate * g
        out = w - momentum * velocity + (1 + momentum) * velocity'

    Inputs: w, dw, velocity, out (...); learning_rate >= 0; 0 <= momentum < 1.
    Source: Nesterov, A method of solving a convex programming problem with convergence rate O(1/k^2) (1983); in this
    form Bengio, Boulanger-Lewandowski & Pascanu, Advances in optimizing recurrent networks (2013), section 3.5.
    """
    function = "nesterov_update"
    places, w, dw, velocity, out = _arrays(function, w, dw, velocity=velocity, out=out)
    rates = _learning_rate(function, places, learning_rate), _fraction(function, places, "momentum", momentum)
    _variant().nesterov_update(w, dw, velocity, out, *rates, _weight_decay(function, places, weight_decay))


@signatures.checked
def rmsprop_update(w, dw, cache, out, learning_rate, decay_rate, epsilon, weight_decay=0.0):
    """RMSProp: steps divided by a running root mean square of the gradient.

        cache = decay_rate * cache + (1 - decay_rate) * g**2,    out = w - learning_rate * g / (sqrt(cache) + epsilon)

    Inputs: w, dw, cache (from 0 up), out (...); learning_rate >= 0; 0 <= decay_rate < 1; epsilon > 0.
    Source: Tieleman & Hinton, Neural networks for machine learning, lecture 6.5 (2012).
    """
    function = "rmsprop_update"
    places, w, dw, cache, out = _arrays(function, w, dw, cache=cache, out=out)
    rates = _learning_rate(function, places, learning_rate), _fraction(function, places, "decay_rate", decay_rate)
    numbers = *rates, _epsilon(function, places, epsilon), _weight_decay(function, places, weight_decay)
    _variant().rmsprop_update(w, dw, cache, out, *numbers)


@signatures.checked
def adagrad_update(w, dw, cache, out, learning_rate, epsilon, weight_decay=0.0):
    """AdaGrad: cache = cache + g**2, then out = w - learning_rate * g / (sqrt(cache) + epsilon).

    Inputs: w, dw, cache (from 0 up), out (...); learning_rate >= 0; epsilon > 0.
    Source: Duchi, Hazan & Singer, Adaptive subgradient methods (2011), section 1.1, the diagonal form.
    """
    function = "adagrad_update"
    places, w, dw, cache, out = _arrays(function, w, dw, cache=cache, out=out)
    rate, decay = _learning_rate(function, places, learning_rate), _weight_decay(function, places, weight_decay)
    _variant().adagrad_update(w, dw, cache, out, rate, _epsilon(function, places, epsilon), decay)


@signatures.checked
def adam_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay=0.0):
    """Adam: momentum and RMSProp, both corrected for having begun at zero.

        m = beta1 * m + (1 - beta1) * g,    v = beta2 * v + (1 - beta2) * g**2
        out = w - learning_rate * (m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + epsilon)

    Inputs: w, dw, m, v (from 0 up), out (...); t: the number of this update, counted from 1; learning_rate >= 0;
    0 <= beta1 < 1; 0 <= beta2 < 1; epsilon > 0.
    Source: Kingma & Ba, Adam: a method for stochastic optimization (2015), algorithm 1.
    """
    function = "adam_update"
    places, w, dw, m, v, out = _arrays(function, w, dw, m=m, v=v, out=out)
    numbers = _adam(function, places, t, learning_rate, beta1, beta2, epsilon)
    _variant().adam_update(w, dw, m, v, out, *numbers, _weight_decay(function, places, weight_decay))


@signatures.checked
def adamw_update(w, dw, m, v, out, t, learning_rate, beta1, beta2, epsilon, weight_decay):
    """Adam with decoupled weight decay: m and v as in `adam_update`, whose step is taken from decayed weights.

        out = w - learning_rate * ((m / (1 - beta1**t)) / (sqrt(v / (1 - beta2**t)) + epsilon) + weight_decay * w)

    Inputs: as of `adam_update`.
    Source: Loshchilov & Hutter, Decoupled weight decay regularization (2019), algorithm 2, with the learning rate as
    its schedule.
    """
    function = "adamw_update"
    places, w, dw, m, v, out = _arrays(function, w, dw, m=m, v=v, out=out)
    numbers = _adam(function, places, t, learning_rate, beta1, beta2, epsilon)
    _variant().adamw_update(w, dw, m, v, out, *numbers, _weight_decay(function, places, weight_decay))


def _learning_rate(function, places, learning_rate):
    return multi_tensor.each(validation.number, function, "learning_rate", learning_rate, places, minimum=0)


def _weight_decay(function, places, weight_decay):
    return multi_tensor.each(validation.number, function, "weight_decay", weight_decay, places, minimum=0)


def _fraction(function, places, name, value):
    return multi_tensor.each(validation.number, function, name, value, places, minimum=0, below=1)


def _epsilon(function, places, epsilon):
    return multi_tensor.each(validation.number, function, "epsilon", epsilon, places, above=0)


def _adam(function, places, t, learning_rate, beta1, beta2, epsilon):
    return (
        multi_tensor.each(validation.integer, function, "t", t, places, minimum=1),
        _learning_rate(function, places, learning_rate),
        _fraction(function, places, "beta1", beta1),
        _fraction(function, places, "beta2", beta2),
        _epsilon(function, places, epsilon),
    )


def _arrays(function, w, dw, **written):
    """The places, then lists of the arrays as the kernels want them."""
    places, columns = multi_tensor.checked(function, {"w": w, "dw": dw}, written)
    return places, *columns
