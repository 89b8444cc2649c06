// Memory and host of a core: whole runs of a program in one call.
#pragma once
#include <vector>

#include "axi_memory.h"
#include "harness.h"

extern "C" void* alula_port(Simulation* simulation, int index);

// Ports by their index in alula_port, in the order in which Python lists them.
enum Control { RST, PROGRAM, REGISTER, LENGTH, START, RUNNING, FAULTY, STATUS, CONTROLS };

struct Run {
    const uint8_t* code;
    uint32_t instructions;
    const uint32_t* registers;  // 32 of them
    uint8_t* memory;
    uint64_t beats;
    uint32_t channels;
    uint32_t beat_bytes;
    Timing timing;
    uint64_t patience;  // cycles without any change after which the run is given up
};

enum End : uint32_t { ENDED, FAULT, STANDS_STILL, GOES_ON };

struct Outcome {
    uint64_t cycles;
    uint64_t beats_read;
    uint64_t bytes_written;
    uint32_t end;  // an End
};
