// Plain sequential readers, one behind each AXI port of a controller.
#include "dram_ports.h"
#include "reader_layouts.h"

namespace {

// As alula.rtl.plain_reader has them.
enum Reading : uint32_t { APART, IN_STEP, DEALT };

struct Reader {
    DramPort memory;
    uint64_t next = 0, held = 0;
    uint64_t left = 0;  // accesses of its stripe that it has not asked for

    // Take what has come until there is a beat. False: there is none yet.
    bool has(unsigned bytes) {
        for (; held < bytes && memory.arrived(); held += memory.access_bytes) memory.take();
        return held >= bytes;
    }
    void ask() {
        while (memory.can_read()) memory.read(next++);
    }
    // The next access of its stripe, or of the one that nobody reads yet.
    void ask(uint64_t& stripe, uint64_t accesses) {
        if (!memory.can_read()) return;
        if (!left) {
            next = stripe;
            stripe += left = accesses;
        }
        memory.read(next++);
        --left;
    }
};

}  // namespace

// Beats of `port_bytes` that each port gets within `cycles`, one a cycle at most.
extern "C" void alula_read_ports(const DramConfig* config, const PortsConfig* ports,
                                 uint32_t port_bytes, uint32_t reading, uint32_t stripe_bytes,
                                 uint64_t cycles, uint64_t* beats) {
    auto shared = std::make_shared<DramPorts>(*config, *ports);
    std::vector<Reader> readers;
    for (uint32_t port = 0; port < ports->ports; ++port) readers.push_back({{shared, port}});
    std::fill_n(beats, ports->ports, 0);
    uint64_t stripe = 0, accesses = std::max(1u, stripe_bytes / config->access_bytes);
    for (uint64_t cycle = 0; cycle < cycles; ++cycle) {
        shared->advance(cycle);
        bool all = true;
        for (Reader& reader : readers) all &= reader.has(port_bytes);
        for (uint32_t port = 0; port < ports->ports; ++port) {
            Reader& reader = readers[port];
            if (reading == IN_STEP ? all : reader.held >= port_bytes) {
                reader.held -= port_bytes;
                ++beats[port];
            }
            if (reading == DEALT) reader.ask(stripe, accesses);
            else reader.ask();
        }
    }
}
