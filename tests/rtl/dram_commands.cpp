// What the controller of dram.h does with a list of accesses.
#include "dram.h"

struct Asked {
    uint64_t access;
    uint32_t write, pause;  // core cycles in front
};

// The commands go to `log`, at most `room`, their number is returned; `arrivals` are the core
// cycles in which each read was there.
extern "C" uint64_t commands(const DramConfig* config, const Asked* asked, uint64_t count,
                             uint64_t cycles, Dram::Issued* log, uint64_t room,
                             uint64_t* arrivals) {
    Dram dram(*config);
    std::vector<Dram::Issued> issued;
    dram.watch(issued);
    uint64_t next = 0, pause = count ? asked[0].pause : 0;
    for (uint64_t cycle = 0; cycle < cycles; ++cycle) {
        dram.advance(cycle);
        while (dram.arrived()) {
            dram.take();
            *arrivals++ = cycle;
        }
        for (; next < count; pause = ++next < count ? asked[next].pause : 0) {
            if (pause) {
                --pause;
                break;
            }
            if (!(asked[next].write ? dram.can_write() : dram.can_read())) break;
            if (asked[next].write) dram.write(asked[next].access);
            else dram.read(asked[next].access);
        }
    }
    for (uint64_t number = 0; number < issued.size() && number < room; ++number)
        log[number] = issued[number];
    return issued.size();
}

// Reads that arrive in as many cycles as there are, as many under way as the controller takes.
extern "C" uint64_t arrived(const DramConfig* config, const uint64_t* accesses, uint64_t count) {
    Dram dram(*config);
    uint64_t next = 0, taken = 0;
    for (uint64_t cycle = 0; cycle < count; ++cycle) {
        dram.advance(cycle);
        for (; dram.arrived(); ++taken) dram.take();
        while (next < count && dram.can_read()) dram.read(accesses[next++]);
    }
    return taken;
}
