// A port of a Verilated model as memory.
#pragma once
#include <cstdint>
#include <cstring>

// A port up to 64 bits, or a piece of memory.
struct Port {
    uint8_t* place = nullptr;
    unsigned bytes = 0;
    uint64_t get() const {
        uint64_t value = 0;
        memcpy(&value, place, bytes < 8 ? bytes : 8);
        return value;
    }
    void set(uint64_t value) const { memcpy(place, &value, bytes < 8 ? bytes : 8); }
};
