// The two-dimensional real Fourier transform of one group of channels, in two halves between which a caller works:
// rows, and columns one by one.
//
// Letters: H W size of the map, V = W/2 + 1 columns of the spectrum, S channels of the group. The half spectra of all
// rows are H V 2S floats: at each frequency the real parts of all channels, then the imaginary ones.

#pragma once

#include "fourier.hpp"
#include "maps.hpp"

namespace keypoint {

// The first argument of every function.
struct Sizes {
    int batch, height, width, channels, channels_last, groups, hidden, threads;

    Layout map() const { return {height, width, channels, channels_last != 0}; }
};

struct Transform {
    Layout map;
    int s, v;
    Length width, half, height;

    Transform(const Layout& map, int groups)
        : map(map), s(map.channels / groups), v(map.width / 2 + 1), width(map.width), half(map.width / 2),
          height(map.height) {}

    bool possible() const {
        return map.width >= 2 && map.width % 2 == 0 && s % LANES == 0 && half.possible && height.possible;
    }
    long spectra() const { return static_cast<long>(map.height) * v * 2 * s; }  // floats
    long line() const { return std::max(static_cast<long>(map.height) * 2 * s, static_cast<long>(map.width) * s); }
    long scratch() const { return 6L * std::max(map.height, map.width) * LANES; }

    // The map's rows to half spectra.
    void rows(const float* x, float* spectra, float* line, float* scratch) const {
        for (int i = 0; i < map.height; i++) {
            read_row(x + map.at(i, 0), map, s, line);
            float* z = spectra + static_cast<long>(i) * v * 2 * s;
            for (int c = 0; c < s; c += LANES)
                real_transform(line + c, s, {z + c, z + s + c, 2L * s}, width, half, scratch);
        }
    }

    // One of the V columns to its spectrum, a line of H 2S floats.
    void column(float* spectra, int number, float* line, float* scratch) const {
        float* z = spectra + static_cast<long>(number) * 2 * s;
        for (int c = 0; c < s; c += LANES)
            transform({z + c, z + s + c, 2L * s * v}, {line + c, line + s + c, 2L * s}, height, scratch);
    }

    // The inverse, not scaled.
    void column_back(float* line, int number, float* spectra, float* scratch) const {
        float* z = spectra + static_cast<long>(number) * 2 * s;
        for (int c = 0; c < s; c += LANES)
            transform({line + s + c, line + c, 2L * s}, {z + s + c, z + c, 2L * s * v}, height, scratch);
    }

    // y = x + scale times the rows of the half spectra, not scaled otherwise.
    void add_rows(float* spectra, const float* x, float* y, float scale, float* line, float* scratch) const {
        for (int i = 0; i < map.height; i++) {
            float* z = spectra + static_cast<long>(i) * v * 2 * s;
            for (int c = 0; c < s; c += LANES)
                real_inverse({z + c, z + s + c, 2L * s}, line + c, s, width, half, scratch);
            add_row(x + map.at(i, 0), y + map.at(i, 0), map, s, line, scale);
        }
    }
};

}  // namespace keypoint
