// The Fourier SRL block in eval mode; `folded.py` has the algebra, `compiled_block.py` calls this.
//
// One group of channels of one sample at a time goes from the map to the result, so that intermediate values stay in
// cache: rows to half spectra; each column alone to its spectrum, through both convolutions and back; rows to the map.
//
// Letters: as in group.hpp, and K hidden maps of a group.

#include "group.hpp"
#include "mixing.hpp"

namespace {

using namespace keypoint;

constexpr int ROWS = 6;  // of a column between the two convolutions

// y = max(w x + b, 0) for n floats that have the same frequency; NaN stays NaN.
inline void spectral_relu(const float* x, float w, float b, float* y, int n) {
    for (int o = 0; o < n; o += LANES) {
        Vec value = load(x + o) * w + b;
        store(y + o, value < 0 ? Vec{} : value);
    }
}

}  // namespace

extern "C" {

int srl_fits(int channels, int height, int width, int groups, int hidden) {
    return channels % groups == 0 && Transform({height, width, channels, false}, groups).possible() &&
           hidden % LANES == 0;
}

// y = x + scale f^-1(phi(f(x))) of float32 maps for which `srl_fits` holds. 0 if done, 1 if there is no memory.
// Weights are inputs before outputs, with the real parts of a group's channels before the imaginary ones: reduce
// (G, 2S, K), shift (G, K), relu (H, V), expand (G, K, 2S), bias (G, 2S); no expand if the first result is the last.
int srl_evaluate(const Sizes* sizes, const float* x, float* y, const float* reduce, const float* shift,
                 const float* relu_weight, const float* relu_bias, const float* expand, const float* bias,
                 float scale) {
    const Transform f(sizes->map(), sizes->groups);
    const int height = sizes->height, groups = sizes->groups, hidden = sizes->hidden, maps = 2 * f.s;
    int failed = 0;
#pragma omp parallel num_threads(sizes->threads)
    {
        Floats spectra = floats(f.spectra()), line = floats(f.line()), scratch = floats(f.scratch());
        Floats between = floats(ROWS * hidden);
        const bool ready = spectra && line && scratch && between;
        if (!ready) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for schedule(dynamic)
        for (int task = 0; task < sizes->batch * groups; task++) {
            if (!ready) continue;
            const long group = task % groups;
            const long from = task / groups * f.map.size() + f.map.at(0, group * f.s);
            f.rows(x + from, spectra.get(), line.get(), scratch.get());
            for (int column = 0; column < f.v; column++) {
                f.column(spectra.get(), column, line.get(), scratch.get());
                for (int i = 0; i < height; i += ROWS) {
                    const int n = std::min(ROWS, height - i);
                    float *here = line.get() + static_cast<long>(i) * maps, *h = between.get();
                    mix(here, reduce + group * maps * hidden, shift + group * hidden, h, n, maps, hidden);
                    for (int r = 0; r < n; r++) {
                        const long at = static_cast<long>(i + r) * f.v + column;
                        spectral_relu(h + r * hidden, relu_weight[at], relu_bias[at],
                                      (expand ? h : here) + r * hidden, hidden);
                    }
                    if (expand) mix(h, expand + group * maps * hidden, bias + group * maps, here, n, hidden, maps);
                }
                f.column_back(line.get(), column, spectra.get(), scratch.get());
            }
            f.add_rows(spectra.get(), x + from, y + from, scale, line.get(), scratch.get());
        }
    }
    return failed;
}
}
