#include "core.h"

namespace {

void edge(Vtop& top) {
    top.clk = 1;
    top.eval();
    top.clk = 0;
}

// Struct ports from the lowest bit: fields as `Sequencer` declares them.
void put(uint8_t* place, unsigned bit, unsigned bits, uint64_t value) {
    for (unsigned index = 0; index < bits; ++index, ++bit) {
        uint8_t mask = uint8_t(1u << (bit & 7));
        place[bit >> 3] = uint8_t((place[bit >> 3] & ~mask) | ((value >> index & 1) ? mask : 0));
    }
}

}  // namespace

// A run under way.
struct Session {
    Simulation* simulation;
    Run run;
    std::vector<Port> control;
    std::vector<Channel> channels;
    uint64_t now = 0, moved = 0, status = ~uint64_t{0};
};

// Reset the core, write its program and registers, start it. `index` and `bytes` describe the ports:
// those of Control, then Read and Write of each channel.
extern "C" Session* alula_begin(Simulation* simulation, const Run* run, const int32_t* index,
                                const uint32_t* bytes) {
    auto* session = new Session{simulation, *run};
    Vtop& top = *simulation->top;
    unsigned next = 0;
    auto take = [&](unsigned count) {
        std::vector<Port> ports;
        for (; count; --count, ++next)
            ports.push_back({static_cast<uint8_t*>(alula_port(simulation, index[next])), bytes[next]});
        return ports;
    };
    auto& control = session->control = take(CONTROLS);
    for (unsigned number = 0; number < run->channels; ++number) {
        auto read = take(READS);
        auto write = take(WRITES);
        session->channels.emplace_back(read, write, run->memory, run->beats, run->beat_bytes,
                                       number, run->channels, run->timing);
    }

    // A reset: no run inherits anything but what memories hold.
    top.clk = 0;
    control[START].set(0);
    control[RST].set(1);
    for (int cycle = 0; cycle < 4; ++cycle) {
        top.eval();
        edge(top);
    }
    control[RST].set(0);

    constexpr unsigned ADDRESS = 1, DATA = ADDRESS + 16, MASK = DATA + 128;
    for (uint32_t place = 0; place < run->instructions; ++place) {
        uint8_t* port = control[PROGRAM].place;
        put(port, 0, 1, 1);
        put(port, ADDRESS, 16, place);
        for (unsigned byte = 0; byte < 16; ++byte)
            put(port, DATA + 8 * byte, 8, run->code[16 * place + byte]);
        put(port, MASK, 4, 15);
        top.eval();
        edge(top);
    }
    put(control[PROGRAM].place, 0, 1, 0);
    for (unsigned number = 1; number < 32; ++number) {
        uint64_t value = 1 | uint64_t{number} << 1 | uint64_t{run->registers[number]} << 6;
        control[REGISTER].set(value);
        top.eval();
        edge(top);
    }
    control[REGISTER].set(0);
    control[LENGTH].set(run->instructions);
    control[START].set(1);
    top.eval();
    edge(top);
    control[START].set(0);
    return session;
}

// At most `cycles` more cycles; the outcome is that of the run so far.
extern "C" void alula_continue(Session* session, uint64_t cycles, Outcome* outcome) {
    Vtop& top = *session->simulation->top;
    const Run& run = session->run;
    auto& control = session->control;
    auto& channels = session->channels;
    uint64_t &now = session->now, &moved = session->moved, &status = session->status;
    outcome->end = GOES_ON;
    for (uint64_t stop = now + cycles; now < stop; ++now) {
        for (auto& channel : channels) channel.drive(now);
        top.eval();
        if (control[FAULTY].get()) {
            outcome->end = FAULT;
            break;
        }
        if (!control[RUNNING].get()) {
            outcome->end = ENDED;
            break;
        }
        bool any = false;
        for (auto& channel : channels) any |= channel.pass(now);
        uint64_t seen = control[STATUS].get();
        if (any || seen != status) moved = now;
        status = seen;
        if (now - moved > run.patience) {
            outcome->end = STANDS_STILL;
            break;
        }
        edge(top);
        for (auto& channel : channels) channel.release();
    }
    outcome->cycles = now;
    outcome->beats_read = outcome->bytes_written = 0;
    for (auto& channel : channels) {
        outcome->beats_read += channel.reads;
        outcome->bytes_written += channel.written;
    }
}

extern "C" void alula_finish(Session* session) { delete session; }
