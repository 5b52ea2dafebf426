"""Where the windows of a convolution or a pooling lie."""


def output_size(
    function: str, x_shape: tuple, window: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int]
) -> tuple[int, int]:
    """OH, OW = 1 + (H + 2 * pad - window) // stride, and the same for columns; ValueError where no window fits.

    Rows and columns at the end that no window reaches are ignored, as in PyTorch and cuDNN.
    """
    sizes = []
    for axis, length, width, step, border in zip(("height", "width"), x_shape[2:], window, stride, pad, strict=True):
        if length + 2 * border < width:
            raise ValueError(
                f"{function}: the window does not fit: its {axis} = {width} exceeds the padded image's "
                f"{length} + 2*{border} = {length + 2 * border}; expected it to fit at least once; "
                f"use pad={-((length - width) // 2)} or a smaller window"
            )
        sizes.append(1 + (length + 2 * border - width) // step)
    return sizes[0], sizes[1]
