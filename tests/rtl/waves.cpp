// A model and its waves, without a board around it.
#include "waves.h"

extern "C" void run(const char* path, uint64_t cycles, uint64_t start, uint64_t stop) {
    Simulation simulation;
    Waves waves(simulation, path, start, stop);
    Vtop& top = *simulation.top;
    top.rst = 0;
    for (uint64_t cycle = 0; cycle < cycles; ++cycle) {
        top.clk = 0;
        top.eval();
        waves.see(cycle, false);
        top.clk = 1;
        top.eval();
        waves.see(cycle, true);
    }
}
