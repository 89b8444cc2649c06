// A Verilated model behind a C ABI: ports as memory, whole runs of cycles in one call.
#pragma once
#include <memory>

#include "Vtop.h"
#include "verilated.h"

// Sees every cycle of a board.
struct Observer {
    virtual ~Observer() = default;
    virtual bool settled() = 0;  // all signals before the clock's edge; false: enough was seen
    virtual void clocked() = 0;  // after the edge
};

struct Simulation {
    // Scopes take themselves out of the thread's context, which may be another simulation's.
    ~Simulation() { Verilated::threadContextp(context.get()); }

    std::unique_ptr<VerilatedContext> context{new VerilatedContext};
    std::unique_ptr<Vtop> top{new Vtop{context.get(), ""}};
    std::unique_ptr<Observer> observer;
};
