// The highest pixels of averages of heatmaps with those of mirrored crops; `pose/flip_average.py` calls this and has
// the same in PyTorch.
//
// Each map is read once, and no average is written. Letters: B batch, K keypoints, H W the heatmap's height and width.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "vectors.hpp"

namespace {

using namespace keypoint;

constexpr int STRIP = 4;     // rows after which the highest sum so far is checked
constexpr int AHEAD = 1024;  // distance of prefetching in floats: 4 KiB, a page

typedef decltype(Vec{} > Vec{}) Mask;

inline bool any(Mask mask) {
    long parts[sizeof(Mask) / sizeof(long)], all = 0;
    std::memcpy(parts, &mask, sizeof mask);
    for (long part : parts) all |= part;
    return all != 0;
}

// The sums of two rows, the second mirrored, and shifted by one column to the right if asked.
struct Rows {
    const float *one, *mirrored;
    long width;
    bool shift;

    float at(long x) const { return one[x] + (shift && x ? mirrored[width - x] : mirrored[width - 1 - x]); }
    // LANES sums from x on, which is not 0 with a shift.
    Vec from(long x) const {
        return load(one + x) + reversed(load(mirrored + width - (shift ? 0 : 1) - x - (LANES - 1)));
    }
    Rows below(long rows) const { return {one + rows * width, mirrored + rows * width, width, shift}; }
};

}  // namespace

extern "C" {

// For all maps (B, K): the place y W + x of the first highest sum; half of that sum, NaN if there is one; and halves of
// the sums left, right, above and below it (B, K, 4) if it is at least two pixels from the map's first row and column
// and one from the last, otherwise of itself. `partners` (K) are the keypoints' mirror images.
void peaks_of_average(const float* maps, const float* mirrored, const int64_t* partners, int64_t batch,
                      int64_t keypoints, int64_t height, int64_t width, int shift, int threads, int64_t* places,
                      float* scores, float* around) {
#pragma omp parallel for num_threads(threads)
    for (int64_t map = 0; map < batch * keypoints; map++) {
        const int64_t partner = map - map % keypoints + partners[map % keypoints];
        const Rows first = {maps + map * height * width, mirrored + partner * height * width, width, shift != 0};
        const int64_t start = shift ? 1 : 0, last = width - LANES;  // of vectors; the last one overlaps
        float best = -INFINITY;
        int64_t strip = 0;
        Mask nan = {};
        for (int64_t top = 0; top < height; top += STRIP) {
            Vec highest = Vec{} - INFINITY;
            float alone = -INFINITY;
            for (int64_t y = top; y < std::min<int64_t>(top + STRIP, height); y++) {
                const Rows rows = first.below(y);
                for (int64_t x = 0; x < width; x += 16) {
                    __builtin_prefetch(rows.one + x + AHEAD);
                    __builtin_prefetch(rows.mirrored + x + AHEAD);
                }
                for (int64_t x = 0; x < (last < start ? width : start); x++) {
                    const float sum = rows.at(x);
                    if (std::isnan(sum)) nan = Vec{} == Vec{};
                    if (sum > alone) alone = sum;
                }
                for (int64_t x = start; x <= last; x = x < last ? std::min(x + LANES, last) : width) {
                    const Vec sums = rows.from(x);
                    nan |= sums != sums;
                    highest = sums > highest ? sums : highest;
                }
            }
            if (!(alone > best) && !any(highest > best)) continue;
            strip = top;
            best = alone > best ? alone : best;
            for (int l = 0; l < LANES; l++) best = highest[l] > best ? highest[l] : best;
        }
        int64_t place = strip * width;  // the first that is as high, or any next to a NaN
        const int64_t end = std::min<int64_t>(strip + STRIP, height) * width;
        while (place + 1 < end && first.below(place / width).at(place % width) != best) place++;
        places[map] = place;
        scores[map] = any(nan) ? NAN : best / 2;
        const int64_t x = place % width, y = place / width;
        const int64_t step = x > 1 && x < width - 1 && y > 1 && y < height - 1;
        const Rows row = first.below(y);
        const float sums[] = {row.at(x - step), row.at(x + step), first.below(y - step).at(x),
                              first.below(y + step).at(x)};
        for (int i = 0; i < 4; i++) around[4 * map + i] = sums[i] / 2;
    }
}
}
