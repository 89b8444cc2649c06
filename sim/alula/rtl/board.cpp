#include "board.h"
#include "board_layouts.h"

// AXI4-Lite as Verilator names it.
#define LITE(name) control___05F##name

namespace {

// When memory does what, behind each port of a channel.
std::vector<std::unique_ptr<MemoryTiming>> timings(const Timing& timing, unsigned beat_bytes,
                                                   unsigned channel, unsigned channels) {
    uint32_t count = timing.ports.ports;
    std::vector<std::unique_ptr<MemoryTiming>> found;
    if (timing.read_latency) {
        for (uint32_t port = 0; port < count; ++port)
            found.push_back(std::make_unique<FixedLatency>(beat_bytes / count, timing.read_latency,
                                                           timing.write_latency));
    } else if (count == 1) {
        found.push_back(std::make_unique<Dram>(timing.dram, channel, channels));
    } else {
        auto shared = std::make_shared<DramPorts>(timing.dram, timing.ports, channel, channels);
        for (uint32_t port = 0; port < count; ++port)
            found.push_back(std::make_unique<DramPort>(shared, port));
    }
    return found;
}

}  // namespace

extern "C" {

// `index` and `bytes` describe the ports, channel by channel: those of Read, and behind those of a
// channel's first port those of Write.
Board* alula_board(Simulation* simulation, const Parts* parts, const int32_t* index,
                   const uint32_t* bytes) {
    Retired retired(parts->running, parts->done, parts->engines);
    auto* board = new Board{*simulation, *simulation->top, retired};
    unsigned next = 0;
    auto take = [&](unsigned count) {
        std::vector<Port> ports;
        for (; count; --count, ++next)
            ports.push_back({static_cast<uint8_t*>(alula_port(simulation, index[next])), bytes[next]});
        return ports;
    };
    uint32_t size = parts->beat_bytes, count = parts->timing.ports.ports;
    std::vector<MemoryWindow> windows(parts->windows, parts->windows + parts->window_count);
    unsigned shift = 0;
    while (1u << shift < size) ++shift;
    for (unsigned channel = 0; channel < parts->channels; ++channel) {
        Layout layout{parts->memory + uint64_t{channel} * size, parts->bytes, shift,
                      uint64_t{parts->channels} * size, windows};
        auto memories = timings(parts->timing, size, channel, parts->channels);
        for (uint32_t port = 0; port < count; ++port) {
            auto read = take(READS);
            auto write = port ? std::vector<Port>() : take(WRITES);
            board->ports.emplace_back(read, write, layout, size / count, channel * count + port,
                                      parts->timing, std::move(memories[port]));
        }
    }
    board->top.clk = 0;
    board->top.rst = 1;
    for (int cycle = 0; cycle < 4; ++cycle) board->cycle();
    board->top.rst = 0;
    return board;
}

void alula_board_close(Board* board) { delete board; }

// The response, or -1 if none came within `limit` cycles.
int alula_write(Board* board, uint32_t address, uint32_t value, uint64_t limit) {
    Vtop& top = board->top;
    top.LITE(awaddr) = address;
    top.LITE(wdata) = value;
    top.LITE(wstrb) = 15;
    top.LITE(awvalid) = top.LITE(wvalid) = top.LITE(bready) = 1;
    int response = -1;
    for (; limit && response < 0; --limit) {
        top.eval();
        bool address_taken = top.LITE(awvalid) && top.LITE(awready);
        bool value_taken = top.LITE(wvalid) && top.LITE(wready);
        if (top.LITE(bvalid)) response = top.LITE(bresp);
        board->cycle();
        if (address_taken) top.LITE(awvalid) = 0;
        if (value_taken) top.LITE(wvalid) = 0;
    }
    top.LITE(awvalid) = top.LITE(wvalid) = top.LITE(bready) = 0;
    return response;
}

int alula_read(Board* board, uint32_t address, uint32_t* value, uint64_t limit) {
    Vtop& top = board->top;
    top.LITE(araddr) = address;
    top.LITE(arvalid) = top.LITE(rready) = 1;
    int response = -1;
    for (; limit && response < 0; --limit) {
        top.eval();
        bool taken = top.LITE(arvalid) && top.LITE(arready);
        if (top.LITE(rvalid)) {
            response = top.LITE(rresp);
            *value = top.LITE(rdata);
        }
        board->cycle();
        if (taken) top.LITE(arvalid) = 0;
    }
    top.LITE(arvalid) = top.LITE(rready) = 0;
    return response;
}

// Whether the interrupt came within so many cycles, or before the observer had seen enough.
int alula_wait(Board* board, uint64_t cycles) {
    while (cycles-- && !board->top.irq)
        if (!board->cycle()) break;
    return board->top.irq;
}

// How many instructions each engine has retired, in this run or the last.
void alula_board_retired(const Board* board, uint64_t* counts) {
    for (uint64_t count : board->retired.counts()) *counts++ = count;
}

// Cycles of the run up to the retirements of an engine, at most so many; how many there are.
uint64_t alula_board_retirements(const Board* board, uint32_t engine, uint64_t* cycles,
                                 uint64_t most) {
    const auto& found = board->retired.cycles(engine);
    std::copy_n(found.begin(), std::min<uint64_t>(most, found.size()), cycles);
    return found.size();
}

#if VM_TRACE
// The waves of the cycles from `start` to before `stop` go to a file.
void alula_waves(Board* board, Simulation* simulation, const char* path, uint64_t start,
                 uint64_t stop) {
    board->waves = std::make_unique<Waves>(*simulation, path, start, stop);
}
#endif

// Memory drops what it owes, as an interconnect that is reset.
void alula_forget(Board* board) {
    for (auto& port : board->ports) port.forget();
}

// Beats from `first` to before `last` are refused with a response, or (SILENT) never answered.
void alula_defect(Board* board, uint64_t first, uint64_t last, uint32_t response) {
    for (auto& port : board->ports) port.defect = {first, last, response};
}

}  // extern "C"
