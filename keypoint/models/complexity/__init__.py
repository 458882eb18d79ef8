"""Cost of a network: parameters and multiply-adds, by the SRL paper's rule and the true ones.

Source of the `paper` rule: Chi et al., "Fast Non-Local Neural Networks with Spectral Residual
Learning", ACM MM 2019, section 4; inferred by comparing interpretations with tables 2, 3 and 8. It
counts only Conv, ConvTranspose, BatchNorm and Linear modules:

    multiply-adds   weights x output positions, without biases; a transposed convolution as well,
                    which is 4 times too many at stride 2. The matrix products and transforms of a
                    block are added manually: C H W log2(H W) for an FFT, C H W (H + W) for P x Q
                    with any real matrices, two transforms in a block.
    parameters      of these modules, not GroupNorm's nor raw ones (alpha; w, b, P, Q of SRL). A
                    module that is called twice counts twice. For video P and Q do count.
    units           G is 2^30; parameters in millions for pose, in units of 1024 for video.

The `true` column: all parameters once, and every multiplication of one forward pass, counted by
PyTorch's FlopCounterMode, with formulas for what that omits (`formulas.py`). G is 10^9.

    convolutions    a transposed one at its input positions
    products        matrix products; attention as q k^T and its product with v; element-wise ones
                    (alpha, spectral weights, the terms of CGNL) one an element, four if complex
    FFT             5 N log2 N operations if complex, half if real (FFTW's convention), so 2.5 or
                    1.25 N log2 N multiply-adds; N is the number of points, the scale is not counted
    not counted     batch norms, which fold into their convolution; softmax, means, sums, pooling,
                    activations, dropout. Group norm, which cannot be folded, takes 2 an element

The counted pass is that of training on a CPU in float32. In evaluation a block may fold its norms
and choose another form of its transform; the result is the same, but the count is not.
"""

from keypoint.models.complexity.count import Count, count, count_model, count_parts
from keypoint.models.complexity.paper import Cost

__all__ = ["Cost", "Count", "count", "count_model", "count_parts"]
