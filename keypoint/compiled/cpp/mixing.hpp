// Small products of matrices, of rows of a few dozen floats.

#pragma once

#include <algorithm>

#include "vectors.hpp"

namespace keypoint {

// The left matrix of a product: an element is at row * row_step + column * column_step.
struct Left {
    const float* at;
    long row_step, column_step;
};

// y = left right + start for R rows and T vectors of columns. `right` is (inputs, outputs), y has `outputs` floats a
// row; start is one row for all (start_step 0) or a row for each.
template <int R, int T>
inline void product(Left left, const float* right, const float* start, long start_step, float* y, int inputs,
                    long outputs) {
    Vec sum[R][T] = {};
    for (int i = 0; i < inputs; i++) {
        Vec w[T];
        for (int t = 0; t < T; t++) w[t] = load(right + i * outputs + t * LANES);
        for (int r = 0; r < R; r++)
            for (int t = 0; t < T; t++) sum[r][t] += left.at[r * left.row_step + i * left.column_step] * w[t];
    }
    // The start comes last: it can be large, and each step of a sum that began with it would be rounded to its size.
    for (int r = 0; r < R; r++)
        for (int t = 0; t < T; t++)
            store(y + r * outputs + t * LANES, sum[r][t] + load(start + r * start_step + t * LANES));
}

template <int R>
inline void rows(Left left, const float* right, const float* start, long start_step, float* y, int inputs,
                 int outputs) {
    int o = 0;
    for (; o + 2 * LANES <= outputs; o += 2 * LANES)
        product<R, 2>(left, right + o, start + o, start_step, y + o, inputs, outputs);
    for (; o < outputs; o += LANES)
        product<R, 1>(left, right + o, start + o, start_step, y + o, inputs, outputs);
}

// The same for n rows and a number of outputs that is a multiple of LANES. Six rows at a time: twelve sums and two
// vectors of the right matrix stay in registers.
inline void multiply(Left left, const float* right, const float* start, long start_step, float* y, int n, int inputs,
                     int outputs) {
    for (; n > 0; n -= 6) {
        switch (std::min(n, 6)) {
            case 1: rows<1>(left, right, start, start_step, y, inputs, outputs); break;
            case 2: rows<2>(left, right, start, start_step, y, inputs, outputs); break;
            case 3: rows<3>(left, right, start, start_step, y, inputs, outputs); break;
            case 4: rows<4>(left, right, start, start_step, y, inputs, outputs); break;
            case 5: rows<5>(left, right, start, start_step, y, inputs, outputs); break;
            case 6: rows<6>(left, right, start, start_step, y, inputs, outputs); break;
        }
        left.at += 6 * left.row_step, start += 6 * start_step, y += 6L * outputs;
    }
}

// n rows of x (n, inputs) by a weight (inputs, outputs), plus start (outputs): channels mixed alike in all rows.
inline void mix(const float* x, const float* weight, const float* start, float* y, int n, int inputs, int outputs) {
    multiply({x, inputs, 1}, weight, start, 0, y, n, inputs, outputs);
}

// sum += x^T y for x (n, rows) and y (n, columns): the gradient of the weight of `mix`.
inline void add_outer(const float* x, const float* y, float* sum, int n, int rows, int columns) {
    multiply({x, 1, rows}, y, sum, columns, sum, rows, n, columns);
}

}  // namespace keypoint
