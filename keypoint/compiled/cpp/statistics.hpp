// Sums over the rows of a piece of a matrix, for each of its n columns, added to those of the pieces before.

#pragma once

#include "vectors.hpp"

namespace keypoint {

// Means, and sums of squared differences from them. Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm
// for Computing Sample Variances", 1979.
inline void add_moments(const float* x, int rows, int n, long rows_before, double* mean, double* squares) {
    const double share = static_cast<double>(rows) / static_cast<double>(rows_before + rows);
    for (int c = 0; c < n; c += LANES) {
        Vec sum = {}, square = {};
        for (int i = 0; i < rows; i++) sum += load(x + i * n + c);
        const Vec own = sum / static_cast<float>(rows);
        for (int i = 0; i < rows; i++) {
            const Vec less = load(x + i * n + c) - own;
            square += less * less;
        }
        for (int l = 0; l < LANES; l++) {
            const double less = own[l] - mean[c + l];
            mean[c + l] += less * share;
            squares[c + l] += square[l] + less * less * static_cast<double>(rows_before) * share;
        }
    }
}

// Sums of g, and of g (x - mean).
inline void add_sums(const float* g, const float* x, const float* mean, int rows, int n, double* sum,
                     double* products) {
    for (int c = 0; c < n; c += LANES) {
        Vec all = {}, product = {};
        const Vec m = load(mean + c);
        for (int i = 0; i < rows; i++) {
            const Vec value = load(g + i * n + c);
            all += value;
            product += value * (load(x + i * n + c) - m);
        }
        for (int l = 0; l < LANES; l++) {
            sum[c + l] += all[l];
            products[c + l] += product[l];
        }
    }
}

inline float sum_of(Vec v) {
    float sum = 0;
    for (int l = 0; l < LANES; l++) sum += v[l];
    return sum;
}

}  // namespace keypoint
