// Plain sequential readers, one behind each AXI port of a controller.
#include "dram_ports.h"
#include "port_layouts.h"

namespace {

struct Reader {
    DramPort memory;
    uint64_t next = 0, held = 0;

    // Take what has come until there is a beat. False: there is none yet.
    bool has(unsigned bytes) {
        for (; held < bytes && memory.arrived(); held += memory.access_bytes) memory.take();
        return held >= bytes;
    }
    void ask() {
        while (memory.can_read()) memory.read(next++);
    }
};

}  // namespace

// Beats of `port_bytes` that each port gets within `cycles`, one a cycle at most. In step: a beat
// passes where every port has one.
extern "C" void alula_read_ports(const DramConfig* config, const PortsConfig* ports,
                                 uint32_t port_bytes, uint32_t in_step, uint64_t cycles,
                                 uint64_t* beats) {
    auto shared = std::make_shared<DramPorts>(*config, *ports);
    std::vector<Reader> readers;
    for (uint32_t port = 0; port < ports->ports; ++port) readers.push_back({{shared, port}});
    std::fill_n(beats, ports->ports, 0);
    for (uint64_t cycle = 0; cycle < cycles; ++cycle) {
        shared->advance(cycle);
        bool all = true;
        for (Reader& reader : readers) all &= reader.has(port_bytes);
        for (uint32_t port = 0; port < ports->ports; ++port) {
            Reader& reader = readers[port];
            if (in_step ? all : reader.held >= port_bytes) {
                reader.held -= port_bytes;
                ++beats[port];
            }
            reader.ask();
        }
    }
}
