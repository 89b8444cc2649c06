// A Verilated model behind a C ABI: ports as memory, whole runs of cycles in one call.
#pragma once
#include <memory>

#include "Vtop.h"
#include "verilated.h"

struct Simulation {
    std::unique_ptr<VerilatedContext> context{new VerilatedContext};
    std::unique_ptr<Vtop> top{new Vtop{context.get(), ""}};
};
