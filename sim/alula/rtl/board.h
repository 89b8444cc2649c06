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
    uint64_t beats;
    uint32_t channels;
    uint32_t beat_bytes;
    Timing timing;
    const uint8_t* running;  // as of Retired
    const uint8_t* const* done;
    uint32_t engines;
};

struct Board {
    Simulation& simulation;
    Vtop& top;
    Retired retired;
    std::vector<Channel> channels{};
    uint64_t now = 0;
#if VM_TRACE
    std::unique_ptr<Waves> waves = nullptr;
#endif

    // One cycle. What the host drives stands still. False: the observer has seen enough.
    bool cycle() {
        for (auto& channel : channels) channel.drive(now);
        top.eval();
        show(false);
        for (auto& channel : channels) channel.pass(now);
        retired.see();
        Observer* observer = simulation.observer.get();
        bool goes_on = !observer || observer->settled();
        top.clk = 1;
        top.eval();
        show(true);
        if (observer) observer->clocked();
        top.clk = 0;
        for (auto& channel : channels) channel.release();
        ++now;
        return goes_on;
    }

    void show([[maybe_unused]] bool behind) {
#if VM_TRACE
        if (waves) waves->see(now, behind);
#endif
    }
};
