// A port of a Verilated model as memory.
#pragma once
#include <cstdint>
#include <cstring>

// A port up to 64 bits, or a piece of memory. Sizes are those that Verilator has: 1, 2, 4, 8 bytes,
// or words of 4; most ports are a single bit, in a byte.
struct Port {
    uint8_t* place = nullptr;
    unsigned bytes = 0;
    uint64_t get() const {
        switch (bytes) {
            case 1: return *place;
            case 2: return load<uint16_t>();
            case 4: return load<uint32_t>();
            default: return load<uint64_t>();
        }
    }
    void set(uint64_t value) const {
        switch (bytes) {
            case 1: *place = uint8_t(value); break;
            case 2: store(uint16_t(value)); break;
            case 4: store(uint32_t(value)); break;
            default: store(value);
        }
    }

  private:
    template <typename Word> Word load() const {
        Word word;
        memcpy(&word, place, sizeof word);
        return word;
    }
    template <typename Word> void store(Word word) const { memcpy(place, &word, sizeof word); }
};
