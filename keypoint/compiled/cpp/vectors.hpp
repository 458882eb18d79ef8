// Registers of LANES floats, and memory for them.

#pragma once

#include <cstdlib>
#include <memory>
#include <utility>

namespace keypoint {

typedef float Vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

inline Vec load(const float* from) { return *reinterpret_cast<const Vec*>(from); }
inline void store(float* to, Vec v) { *reinterpret_cast<Vec*>(to) = v; }

// Alternate elements of a and b, from the first on or from the middle on.
template <int FIRST, int... I>
inline Vec interleave(Vec a, Vec b, std::integer_sequence<int, I...>) {
    return Vec{(I % 2 ? b[FIRST + I / 2] : a[FIRST + I / 2])...};
}

// The transpose of LANES vectors. Each round turns the bits of (row, column) by one place.
inline void transpose(Vec* a) {
    constexpr auto all = std::make_integer_sequence<int, LANES>();
    for (int round = 1; round < LANES; round *= 2) {
        Vec b[LANES];
        for (int i = 0; i < LANES / 2; i++) {
            b[2 * i] = interleave<0>(a[i], a[i + LANES / 2], all);
            b[2 * i + 1] = interleave<LANES / 2>(a[i], a[i + LANES / 2], all);
        }
        for (int i = 0; i < LANES; i++) a[i] = b[i];
    }
}

template <int... I>
inline Vec reversed(Vec a, std::integer_sequence<int, I...>) {
    return Vec{a[LANES - 1 - I]...};
}
inline Vec reversed(Vec a) { return reversed(a, std::make_integer_sequence<int, LANES>()); }

struct Free {
    void operator()(float* memory) const { std::free(memory); }
};
typedef std::unique_ptr<float[], Free> Floats;

// Aligned to the lines of the cache; null if there is no memory.
inline Floats floats(size_t number) {
    return Floats(static_cast<float*>(std::aligned_alloc(64, (4 * number + 63) / 64 * 64)));
}

}  // namespace keypoint
