// What AXI ports hand to the controller of dram_ports.h when all of them want all they can get.
#include "dram_ports.h"

// `writes`: so many of each port's accesses to wait for are writes, of 16. `log` takes at most
// `room`; `issued` the controller's commands. Returns how many passed; `commands` were issued.
extern "C" uint64_t passed(const DramConfig* config, const PortsConfig* ports, uint32_t writes,
                           uint64_t cycles, DramPorts::Passed* log, uint64_t room,
                           Dram::Issued* issued, uint64_t* commands) {
    DramPorts shared(*config, *ports);
    std::vector<DramPorts::Passed> seen;
    std::vector<Dram::Issued> noted;
    shared.watch(seen);
    shared.dram.watch(noted);
    std::vector<uint64_t> next(ports->ports);
    for (uint64_t cycle = 0; cycle < cycles; ++cycle) {
        shared.advance(cycle);
        for (uint32_t port = 0; port < ports->ports; ++port) {
            while (shared.dram.arrived(port)) shared.dram.take(port);
            for (;; ++next[port]) {
                bool write = next[port] % 16 < writes;
                if (!shared.can_ask(port, write)) break;
                shared.ask(port, write, next[port]);
            }
        }
    }
    for (uint64_t number = 0; number < seen.size() && number < room; ++number)
        log[number] = seen[number];
    for (uint64_t number = 0; number < noted.size() && number < room; ++number)
        issued[number] = noted[number];
    *commands = noted.size();
    return seen.size();
}
