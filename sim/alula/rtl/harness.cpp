#include "harness.h"

extern "C" {

Simulation* alula_open() {
    auto* simulation = new Simulation;
    simulation->top->eval();
    return simulation;
}

void alula_close(Simulation* simulation) {
    simulation->top->final();
    delete simulation;
}

void alula_eval(Simulation* simulation) { simulation->top->eval(); }

void alula_step(Simulation* simulation, uint64_t cycles) {
    Vtop& top = *simulation->top;
    for (uint64_t cycle = 0; cycle < cycles; ++cycle) {
        top.clk = 1;
        top.eval();
        top.clk = 0;
        top.eval();
    }
}

}  // extern "C"
