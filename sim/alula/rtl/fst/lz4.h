// The two functions of LZ4 that Verilator's FST writer calls, for machines without its headers.
//
// They write the LZ4 block format: sequences of a token (4 bits each: literals, match length - 4),
// literals, and a match's distance in two bytes; a length that does not fit goes on in bytes of
// 255. The last five bytes are literals, no match starts in the last twelve.
#pragma once
#include <cstdint>
#include <cstring>
#include <vector>

inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

inline int LZ4_compress_default(const char* source, char* target, int size, int) {
    constexpr int SHORTEST = 4, TAIL = 5, LAST_START = 12, FARTHEST = 65535, HASH_BITS = 12;
    std::vector<int> seen(1 << HASH_BITS, -1);  // where four bytes of this hash were last
    auto four = [&](int place) {
        uint32_t bytes;
        memcpy(&bytes, source + place, 4);
        return bytes;
    };
    char* out = target;
    auto length = [&](int rest) {
        for (; rest >= 255; rest -= 255) *out++ = char(255);
        *out++ = char(rest);
    };
    int done = 0;  // bytes that are written
    auto sequence = [&](int end, int match, int distance) {
        int literals = end - done, extra = match - SHORTEST;
        int low = match ? (extra < 15 ? extra : 15) : 0;
        *out++ = char((literals < 15 ? literals : 15) << 4 | low);
        if (literals >= 15) length(literals - 15);
        memcpy(out, source + done, size_t(literals));
        out += literals;
        if (match) {
            *out++ = char(distance);
            *out++ = char(distance >> 8);
            if (extra >= 15) length(extra - 15);
        }
        done = end + match;
    };
    for (int place = 0; place <= size - LAST_START;) {
        int& last = seen[four(place) * 2654435761u >> (32 - HASH_BITS)];
        int found = last;
        last = place;
        if (found < 0 || place - found > FARTHEST || four(found) != four(place)) {
            ++place;
            continue;
        }
        int match = SHORTEST;
        while (place + match < size - TAIL && source[found + match] == source[place + match])
            ++match;
        sequence(place, match, place - found);
        place += match;
    }
    sequence(size, 0, 0);
    return int(out - target);
}
