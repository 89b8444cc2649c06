// A board: the accelerator, a memory behind its AXI ports, and the host's bus to its control port.
#pragma once
#include <memory>
#include <vector>

#include "axi_memory.h"
#include "harness.h"
#include "retired.h"
#if VM_TRACE
#include "waves.h"
#endif

extern "C" void* alula_port(Simulation* simulation, int index);

struct Parts {
    uint8_t* memory;
    uint64_t bytes;  // of a channel
    uint32_t channels;
    uint32_t beat_bytes;  // of a channel
    const MemoryWindow* windows;  // of a channel's memory
    uint32_t window_count;
    Timing timing;
    const uint8_t* running;  // as of Retired
    const uint8_t* const* done;
    uint32_t engines;
};

struct Board {
    Simulation& simulation;
    Vtop& top;
    Retired retired;
    std::vector<AxiPort> ports{};
    uint64_t now = 0;
#if VM_TRACE
    std::unique_ptr<Waves> waves = nullptr;
#endif

    // One cycle. What the host drives stands still. False: the observer has seen enough.
    bool cycle() {
        for (auto& port : ports) port.drive(now);
        top.eval();
        show(false);
        for (auto& port : ports) port.pass(now);
        retired.see();
        Observer* observer = simulation.observer.get();
        bool goes_on = !observer || observer->settled();
        top.clk = 1;
        top.eval();
        show(true);
        if (observer) observer->clocked();
        top.clk = 0;
        for (auto& port : ports) port.release();
        ++now;
        return goes_on;
    }

    void show([[maybe_unused]] bool behind) {
#if VM_TRACE
        if (waves) waves->see(now, behind);
#endif
    }
};
