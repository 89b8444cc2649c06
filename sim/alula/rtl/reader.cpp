// A plain sequential reader: what a memory gives to who asks for nothing but the next bytes.
#include "dram_ports.h"
#include "reader_layouts.h"

// Bytes that come through a port of `beat_bytes` a cycle within `cycles`, summed over the channels.
extern "C" uint64_t alula_read(const DramConfig* config, uint32_t channels, uint32_t beat_bytes,
                               uint64_t cycles) {
    uint64_t beats = 0;
    for (uint32_t channel = 0; channel < channels; ++channel) {
        Dram dram(*config, channel, channels);
        uint64_t next = 0, held = 0;
        for (uint64_t cycle = 0; cycle < cycles; ++cycle) {
            dram.advance(cycle);
            while (held < beat_bytes && dram.arrived()) {
                dram.take();
                held += config->access_bytes;
            }
            if (held >= beat_bytes) {
                held -= beat_bytes;
                ++beats;
            }
            while (dram.can_read()) dram.read(next++);
        }
    }
    return beats * beat_bytes;
}
