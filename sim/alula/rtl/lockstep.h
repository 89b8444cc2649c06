// Lock step: watches what each engine writes and compares a checksum at every retirement.
#pragma once
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

#include "harness.h"
#if VM_TRACE
#include "waves.h"
#endif

struct Signal {
    const uint8_t* place;
    uint32_t bytes;
};

// Bits of a payload: a number, moved up by `shift`.
struct Field {
    uint32_t bit, bits, shift;
};

enum Kind : uint32_t {
    STREAM,   // a transfer: a line at an address that the payload carries
    ORDERED,  // a transfer: the next line of a sequence
    SAMPLED,  // a line at address 0, read at the retirement of what writes this space
};

// Where writes pass, and to which engine's account they go.
struct Tap {
    Signal valid, ready, payload;  // SAMPLED: the payload alone
    uint32_t kind, space, account;
    Field address[3];   // summed up
    Field condition;    // a line counts only where this is `wanted`; 0 bits: always
    uint32_t wanted;
    uint32_t data_bit, data_bytes;
    uint32_t mask_bit, mask_bits;  // each for its share of the bytes; 0 bits: all of them
    uint32_t slice, slices;  // ORDERED: its line n is line n * slices + slice
};

// The write side of an AXI port: lines of `bytes`, channel `number` of `channels`.
struct WriteTap {
    Signal awvalid, awready, awaddr, awlen, wvalid, wready, wdata, wstrb;
    uint32_t account, space, bytes, number, channels;
};

// An engine's retirements, and what the machine model found for each of them. Without `valid` and
// `ready` the address is that of what retires, with them that of what the engine is given.
struct EngineTap {
    Signal valid, ready, done, address;
    uint32_t account;
    uint32_t late;  // `done` comes a cycle after the last write
    const uint32_t* addresses;
    const uint64_t* checksums;
    uint64_t count;
};

// Waves of a run: `delay` cycles after an engine has retired so many instructions, until the end.
struct Window {
    const char* file;  // null: none
    uint32_t engine;
    uint64_t retired;
    uint64_t delay;
};

struct Plan {
    Signal running;
    const Tap* taps;
    uint32_t tap_count;
    const WriteTap* writes;
    uint32_t write_count;
    const EngineTap* engines;
    uint32_t engine_count;
    const uint16_t* spaces;  // for each program address, a bit for each space that it may write
    uint32_t instructions;
    Window window;
};

struct Found {
    uint32_t engine;
    uint32_t address;
    uint64_t index;  // among the engine's retirements
    uint64_t cycle;   // of the run
    uint64_t before;  // when the engine had retired one less than the one before
    uint64_t words;   // that it wrote
    uint32_t diverged;
};

class Lockstep final : public Observer {
public:
    Lockstep(Simulation& simulation, const Plan& plan);
    bool settled() override;
    void clocked() override;
    void words(uint64_t* place, uint64_t* data, uint64_t* mask) const;
    std::vector<uint64_t> retired() const;
    Found found{};

private:
    static constexpr unsigned WORDS = 16;  // of the widest line with an address

    struct Line {
        uint64_t data[WORDS] = {};
        uint8_t mask[WORDS] = {};
        unsigned count = 0;
    };
    // What was written since the last retirement that this account is for.
    struct Account {
        std::unordered_map<uint64_t, Line> lines;  // by space and number of the first word
        std::vector<std::pair<uint64_t, uint64_t>> sequence;  // places and data
        uint64_t sequence_sum = 0;
    };
    struct Engine {
        EngineTap tap;
        std::deque<uint32_t> given{};  // addresses of what it was given and has not retired
        uint64_t retired = 0;
        uint64_t last = 0, before = 0;  // cycles of the last two retirements
    };
    struct Channel {
        WriteTap tap;
        std::deque<uint64_t> lines;       // of beats whose data have not come
        std::deque<std::vector<uint8_t>> early;  // data and strobes that came before their address
    };

    void take(const Tap& tap, const uint8_t* payload);
    void write(Account& account, uint64_t place, const uint64_t* data, const uint8_t* mask,
               unsigned words);
    void pass(Channel& channel);
    void store(Channel& channel, uint64_t line, const uint8_t* data, const uint8_t* strobe);
    uint32_t next(Engine& engine) const;
    bool retire(Engine& engine);
    void show();

    std::vector<Tap> taps_;
    std::vector<Channel> channels_;
    std::vector<Engine> engines_;
    std::vector<Account> accounts_;
    std::vector<uint16_t> spaces_;
    Simulation& simulation_;
    Signal running_;
    Window window_;
    std::string file_;  // of the window's waves; "": none
    bool begun_ = false, counts_ = false;  // a run has begun; this cycle is one of its
    uint64_t cycle_ = ~uint64_t{0};  // of the run, from 0
#if VM_TRACE
    std::unique_ptr<Waves> waves_;
#endif
};
