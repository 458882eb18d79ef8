// A row of a group's channels, between the map and a line of memory where channels lie side by side.

#pragma once

#include <algorithm>
#include <cstring>

#include "vectors.hpp"

namespace keypoint {

// The memory order of a sample of the map: H W C or C H W.
struct Layout {
    int height, width, channels;
    bool channels_last;

    long size() const { return static_cast<long>(height) * width * channels; }
    long at(int row, int channel) const {
        return channels_last ? static_cast<long>(row) * width * channels + channel
                             : (static_cast<long>(channel) * height + row) * width;
    }
};

// A row of `s` channels of the map, to a line of W S floats.
inline void read_row(const float* x, const Layout& map, int s, float* line) {
    if (map.channels_last) {
        for (long j = 0; j < map.width; j++) std::memcpy(line + j * s, x + j * map.channels, 4 * s);
        return;
    }
    long apart = static_cast<long>(map.height) * map.width;  // two channels
    for (int c = 0; c < s; c += LANES) {
        const float* from = x + c * apart;
        int j = 0;
        for (; j + LANES <= map.width; j += LANES) {
            Vec a[LANES];
            for (int i = 0; i < LANES; i++) a[i] = load(from + i * apart + j);
            transpose(a);
            for (int i = 0; i < LANES; i++) store(line + (j + i) * s + c, a[i]);
        }
        for (; j < map.width; j++)
            for (int i = 0; i < LANES; i++) line[j * s + c + i] = from[i * apart + j];
    }
}

// y = x + scale times a line, for a row of `s` channels.
inline void add_row(const float* x, float* y, const Layout& map, int s, const float* line, float scale) {
    if (map.channels_last) {
        for (long j = 0; j < map.width; j++)
            for (int c = 0; c < s; c += LANES)
                store(y + j * map.channels + c, load(x + j * map.channels + c) + scale * load(line + j * s + c));
        return;
    }
    long apart = static_cast<long>(map.height) * map.width;
    for (int c = 0; c < s; c += LANES) {
        int j = 0;
        for (; j + LANES <= map.width; j += LANES) {
            Vec a[LANES];
            for (int i = 0; i < LANES; i++) a[i] = load(line + (j + i) * s + c);
            transpose(a);
            for (int i = 0; i < LANES; i++) {
                long at = (c + i) * apart + j;
                store(y + at, load(x + at) + scale * a[i]);
            }
        }
        for (; j < map.width; j++)
            for (int i = 0; i < LANES; i++) {
                long at = (c + i) * apart + j;
                y[at] = x[at] + scale * line[j * s + c + i];
            }
    }
}

}  // namespace keypoint
