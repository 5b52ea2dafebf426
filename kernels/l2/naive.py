"""The specification of `l2`: one element at a time, in Python floats. Functions return the sum of squares."""


def weight_penalty(w, dw, reg):
    total = 0.0
    for weights, gradients in zip(w, dw, strict=True):
        for i, weight in enumerate(weights.reshape(-1).tolist()):
            gradients.flat[i] = float(gradients.flat[i]) + reg * weight
            total += weight * weight
    return total


def global_norm(dw):
    return sum(gradient * gradient for gradients in dw for gradient in gradients.reshape(-1).tolist())
