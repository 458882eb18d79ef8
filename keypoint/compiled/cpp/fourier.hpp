// Fourier transforms of lengths with the factors 2, 3, 4, 5 and 7, of LANES channels at a time: all are treated alike,
// so nothing has to be shuffled.
//
// Stockham's form (no bit reversal): Van Loan, "Computational Frameworks for the Fast Fourier Transform", 1992,
// section 1.7. Real rows as complex ones of half the length: Press et al., "Numerical Recipes", section 12.3.

#pragma once

#include <cmath>
#include <vector>

#include "vectors.hpp"

namespace keypoint {

struct Complex {
    Vec re, im;
};

inline Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
inline Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
inline Complex operator*(float a, Complex b) { return {a * b.re, a * b.im}; }
inline Complex conj(Complex a) { return {a.re, -a.im}; }
inline Complex times_i(Complex a) { return {-a.im, a.re}; }
// a (c - i s)
inline Complex turned(Complex a, float c, float s) { return {a.re * c + a.im * s, a.im * c - a.re * s}; }

// Complex vectors, the next one `step` floats after the last. A transform from one sequence with re and im swapped to
// another is the inverse transform, not scaled.
struct Sequence {
    float *re, *im;
    long step;

    Complex operator[](long i) const { return {load(re + i * step), load(im + i * step)}; }
    void set(long i, Complex z) const {
        store(re + i * step, z.re);
        store(im + i * step, z.im);
    }
    Sequence swapped() const { return {im, re, step}; }
};

// The cosines and sines of a length, and the radices of its transform.
struct Length {
    int n;
    std::vector<float> cos, sin;  // of 2 pi k / n
    std::vector<int> radices;
    bool possible;

    explicit Length(int n) : n(n), cos(n), sin(n) {
        for (int k = 0; k < n; k++) {
            cos[k] = static_cast<float>(std::cos(2 * M_PI * k / n));
            sin[k] = static_cast<float>(std::sin(2 * M_PI * k / n));
        }
        int rest = n;
        for (int radix : {4, 2, 3, 5, 7})
            for (; rest > 0 && rest % radix == 0; rest /= radix) radices.push_back(radix);
        possible = rest == 1;
    }
};

// The transform of P values in place.
template <int P>
inline void butterfly(Complex* a, const Length& length) {
    if constexpr (P == 2) {
        Complex b = a[1];
        a[1] = a[0] - b, a[0] = a[0] + b;
    } else if constexpr (P == 4) {
        Complex even = a[0] + a[2], odd = a[1] + a[3], even_less = a[0] - a[2], odd_less = times_i(a[1] - a[3]);
        a[0] = even + odd, a[2] = even - odd;
        a[1] = even_less - odd_less, a[3] = even_less + odd_less;
    } else {  // odd: the frequencies r and P - r have the same sums
        constexpr int half = P / 2;
        Complex sum[half], less[half], first = a[0];
        for (int k = 0; k < half; k++) {
            sum[k] = a[k + 1] + a[P - 1 - k], less[k] = a[k + 1] - a[P - 1 - k];
            a[0] = a[0] + sum[k];
        }
        for (int r = 1; r <= half; r++) {
            Complex even = first, odd = {Vec{}, Vec{}};
            for (int k = 0; k < half; k++) {
                int at = (k + 1) * r % P * (length.n / P);
                even = even + length.cos[at] * sum[k], odd = odd + length.sin[at] * less[k];
            }
            odd = times_i(odd);
            a[r] = even - odd, a[P - r] = even + odd;
        }
    }
}

// The next stage of a transform after those whose radices have the product `done`.
template <int P>
void stage(Sequence in, Sequence out, const Length& length, int done) {
    int parts = length.n / (done * P);
    for (int part = 0; part < parts; part++) {
        for (int i = 0; i < done; i++) {
            Complex a[P];
            for (int q = 0; q < P; q++) a[q] = in[i + done * (part + parts * q)];
            butterfly<P>(a, length);
            out.set(i + done * P * part, a[0]);
            for (int r = 1; r < P; r++) {
                int at = done * part * r;
                out.set(i + done * (P * part + r), part ? turned(a[r], length.cos[at], length.sin[at]) : a[r]);
            }
        }
    }
}

// The transform of n values from one sequence to another, which may be the same. `scratch` has room for 4 n vectors.
inline void transform(Sequence in, Sequence out, const Length& length, float* scratch) {
    long n = length.n, step = 2 * LANES;
    Sequence to = {scratch, scratch + LANES, step}, other = {scratch + n * step, scratch + n * step + LANES, step};
    if (n == 1) out.set(0, in[0]);
    int done = 1;
    for (int radix : length.radices) {
        if (done * radix == n) to = out;
        switch (radix) {
            case 2: stage<2>(in, to, length, done); break;
            case 3: stage<3>(in, to, length, done); break;
            case 4: stage<4>(in, to, length, done); break;
            case 5: stage<5>(in, to, length, done); break;
            case 7: stage<7>(in, to, length, done); break;
        }
        done *= radix;
        in = to;
        std::swap(to, other);
    }
}

// A real row to half of its spectrum: 2 n values of LANES channels, `step` floats apart, to n + 1 frequencies.
// `scratch` has room for 6 n vectors.
inline void real_transform(float* row, long step, Sequence out, const Length& whole, const Length& half,
                           float* scratch) {
    int n = half.n;
    Sequence z = {scratch, scratch + LANES, 2 * LANES};
    transform({row, row + step, 2 * step}, z, half, scratch + 2L * n * LANES);
    out.set(0, {z[0].re + z[0].im, Vec{}});
    out.set(n, {z[0].re - z[0].im, Vec{}});
    for (int k = 1; k <= n - k; k++) {
        Complex even = 0.5f * (z[k] + conj(z[n - k])), odd = 0.5f * (z[k] - conj(z[n - k]));
        odd = times_i(turned(odd, whole.cos[k], whole.sin[k]));
        out.set(k, even - odd);
        out.set(n - k, conj(even + odd));
    }
}

// The inverse, not scaled: n + 1 frequencies to a row. The imaginary parts of the first and the last are not read, as
// they are 0 for a real row.
inline void real_inverse(Sequence in, float* row, long step, const Length& whole, const Length& half, float* scratch) {
    int n = half.n;
    Sequence z = {scratch, scratch + LANES, 2 * LANES};
    z.set(0, {in[0].re + in[n].re, in[0].re - in[n].re});
    for (int k = 1; k <= n - k; k++) {
        Complex even = in[k] + conj(in[n - k]), odd = in[k] - conj(in[n - k]);
        odd = times_i(turned(odd, whole.cos[k], -whole.sin[k]));
        z.set(k, even + odd);
        z.set(n - k, conj(even - odd));
    }
    Sequence out = {row, row + step, 2 * step};
    transform(z.swapped(), out.swapped(), half, scratch + 2L * n * LANES);
}

}  // namespace keypoint
