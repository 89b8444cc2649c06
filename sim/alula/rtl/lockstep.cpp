#include "lockstep.h"
#include "lockstep_layouts.h"

#include <algorithm>
#include <cstring>

#include "verilated_sym_props.h"

namespace {

constexpr unsigned SPACE_SHIFT = 56;

// As alula.model.kernels.checksum.
uint64_t mix(uint64_t value) {
    value += 0x9E3779B97F4A7C15u;
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9u;
    value = (value ^ value >> 27) * 0x94D049BB133111EBu;
    return value ^ value >> 31;
}

uint64_t checksum(uint64_t place, uint64_t data, uint64_t mask) {
    return mix(mix(mix(place) ^ data) ^ mask);
}

bool high(const Signal& signal) { return *signal.place & 1; }

uint64_t number(const Signal& signal) {
    uint64_t value = 0;
    memcpy(&value, signal.place, std::min<size_t>(signal.bytes, 8));
    return value;
}

uint64_t low(unsigned bits) { return bits < 64 ? (uint64_t{1} << bits) - 1 : ~uint64_t{0}; }

// Up to 64 bits of a payload that is padded by 16 bytes.
uint64_t bits(const uint8_t* payload, unsigned bit, unsigned count) {
    uint64_t value;
    memcpy(&value, payload + bit / 8, 8);
    value >>= bit % 8;
    if (bit % 8) value |= uint64_t{payload[bit / 8 + 8]} << (64 - bit % 8);
    return value & low(count);
}

uint64_t spread(uint8_t mask) {  // a bit to a byte
    uint64_t value = 0;
    for (unsigned byte = 0; byte < 8; ++byte)
        if (mask >> byte & 1) value |= uint64_t{0xFF} << 8 * byte;
    return value;
}

}  // namespace

Lockstep::Lockstep(Simulation& simulation, const Plan& plan)
    : taps_(plan.taps, plan.taps + plan.tap_count),
      spaces_(plan.spaces, plan.spaces + plan.instructions),
      simulation_(simulation),
      running_(plan.running),
      window_(plan.window), file_(plan.window.file ? plan.window.file : "") {
    for (uint32_t index = 0; index < plan.write_count; ++index)
        channels_.push_back({plan.writes[index], {}, {}});
    uint32_t last = 0;
    for (uint32_t index = 0; index < plan.engine_count; ++index) {
        engines_.push_back({plan.engines[index]});
        last = std::max(last, plan.engines[index].account);
    }
    accounts_.resize(last + 1);
}

bool Lockstep::settled() {
    // What an aborted run leaves behind is over once nothing runs.
    begun_ |= !high(running_);
    counts_ = begun_ && high(running_);
    if (!counts_) return true;
    ++cycle_;
    show();
    for (auto& engine : engines_)
        if (engine.tap.late && high(engine.tap.done) && !retire(engine)) return false;
    for (const Tap& tap : taps_)
        if (tap.kind != SAMPLED && high(tap.valid) && high(tap.ready)) take(tap, tap.payload.place);
    for (Channel& channel : channels_) pass(channel);
    for (auto& engine : engines_)
        if (!engine.tap.late && high(engine.tap.done) && !retire(engine)) return false;
    for (auto& engine : engines_)
        if (engine.tap.valid.bytes && high(engine.tap.valid) && high(engine.tap.ready))
            engine.given.push_back(uint32_t(number(engine.tap.address)));
    return true;
}

void Lockstep::show() {
#if VM_TRACE
    if (!file_.empty() && !waves_ && engines_[window_.engine].retired >= window_.retired &&
        !window_.delay--)
        waves_.reset(new Waves(simulation_, file_.c_str(), cycle_, ~uint64_t{0}));
    if (waves_) waves_->see(cycle_, false);
#endif
}

void Lockstep::clocked() {
#if VM_TRACE
    if (waves_ && counts_) waves_->see(cycle_, true);
#endif
}

void Lockstep::take(const Tap& tap, const uint8_t* place) {
    uint8_t payload[8 * 2 * WORDS + 16] = {};
    const uint8_t* source = place;
    Account& account = accounts_[tap.account];
    unsigned words = (tap.data_bytes + 7) / 8;
    if (tap.kind == ORDERED) {  // as wide as the memory, and aligned
        uint64_t line = account.sequence.size() / words * tap.slices + tap.slice;
        uint64_t place = uint64_t{tap.space} << SPACE_SHIFT | line * words;
        for (unsigned word = 0; word < words; ++word, ++place) {
            uint64_t data;
            memcpy(&data, source + tap.data_bit / 8 + 8 * word, 8);
            account.sequence_sum += checksum(place, data, 0xFF);
            account.sequence.emplace_back(place, data);
        }
        return;
    }
    memcpy(payload, source, std::min<size_t>(tap.payload.bytes, sizeof payload - 16));
    if (tap.condition.bits && bits(payload, tap.condition.bit, tap.condition.bits) != tap.wanted)
        return;
    uint64_t line = 0;
    for (const Field& field : tap.address)
        if (field.bits) line += bits(payload, field.bit, field.bits) << field.shift;
    uint64_t data[WORDS];
    uint8_t mask[WORDS] = {};
    for (unsigned word = 0; word < words; ++word) {
        unsigned bytes = std::min(8u, tap.data_bytes - 8 * word);
        data[word] = bits(payload, tap.data_bit + 64 * word, 8 * bytes);
        if (!tap.mask_bits) mask[word] = uint8_t(low(bytes));
    }
    for (unsigned part = 0; part < tap.mask_bits; ++part) {
        unsigned share = tap.data_bytes / tap.mask_bits;
        if (bits(payload, tap.mask_bit + part, 1))
            for (unsigned byte = part * share; byte < (part + 1) * share; ++byte)
                mask[byte / 8] |= uint8_t(1u << byte % 8);
    }
    write(account, uint64_t{tap.space} << SPACE_SHIFT | line * words, data, mask, words);
}

void Lockstep::write(Account& account, uint64_t place, const uint64_t* data, const uint8_t* mask,
                     unsigned words) {
    Line& line = account.lines[place];
    line.count = words;
    for (unsigned word = 0; word < words; ++word) {
        uint64_t chosen = spread(mask[word]);
        line.data[word] = (line.data[word] & ~chosen) | (data[word] & chosen);
        line.mask[word] |= mask[word];
    }
}

void Lockstep::pass(Channel& channel) {
    const WriteTap& tap = channel.tap;
    if (high(tap.awvalid) && high(tap.awready)) {
        uint64_t first = number(tap.awaddr) / tap.bytes;
        for (uint64_t beat = 0; beat <= number(tap.awlen); ++beat)
            channel.lines.push_back((first + beat) * tap.channels + tap.number);
    }
    if (high(tap.wvalid) && high(tap.wready)) {
        channel.early.emplace_back(tap.wdata.place, tap.wdata.place + tap.bytes);
        channel.early.back().insert(channel.early.back().end(), tap.wstrb.place,
                                    tap.wstrb.place + (tap.bytes + 7) / 8);
    }
    while (!channel.lines.empty() && !channel.early.empty()) {
        const auto& beat = channel.early.front();
        store(channel, channel.lines.front(), beat.data(), beat.data() + tap.bytes);
        channel.lines.pop_front();
        channel.early.pop_front();
    }
}

void Lockstep::store(Channel& channel, uint64_t line, const uint8_t* data, const uint8_t* strobe) {
    const WriteTap& tap = channel.tap;
    unsigned words = tap.bytes / 8;
    if (std::all_of(strobe, strobe + words, [](uint8_t bits) { return bits == 0; })) return;
    uint64_t values[WORDS];
    memcpy(values, data, tap.bytes);
    uint64_t place = uint64_t{tap.space} << SPACE_SHIFT | line * words;
    write(accounts_[tap.account], place, values, strobe, words);
}

// The address of what an engine retires now; behind the program if it was given nothing.
uint32_t Lockstep::next(Engine& engine) const {
    if (!engine.tap.valid.bytes) return uint32_t(number(engine.tap.address));
    if (engine.given.empty()) return uint32_t(spaces_.size());
    uint32_t address = engine.given.front();
    engine.given.pop_front();
    return address;
}

bool Lockstep::retire(Engine& engine) {
    const EngineTap& tap = engine.tap;
    uint32_t address = next(engine);
    uint64_t index = engine.retired++;
    uint16_t writes = address < spaces_.size() ? spaces_[address] : 0;
    Account& account = accounts_[tap.account];
    bool shared = false;
    for (const Engine& other : engines_)
        shared |= &other != &engine && other.tap.account == tap.account;
    // Of engines that share an account, an instruction that writes nothing leaves it alone.
    bool mine = !shared || writes;
    for (const Tap& sampled : taps_)
        if (sampled.kind == SAMPLED && sampled.account == tap.account && writes >> sampled.space & 1)
            take(sampled, sampled.payload.place);
    uint64_t sum = 0;
    if (mine) {
        sum = account.sequence_sum;
        for (const auto& [place, line] : account.lines)
            for (unsigned word = 0; word < line.count; ++word)
                if (line.mask[word])
                    sum += checksum(place + word, line.data[word], line.mask[word]);
    }
    uint64_t before = engine.before;
    engine.before = engine.last;
    engine.last = cycle_;
    if (index < tap.count && tap.addresses[index] == address && tap.checksums[index] == sum) {
        if (mine) {
            account.lines.clear();
            account.sequence.clear();
            account.sequence_sum = 0;
        }
        return true;
    }
    uint64_t words = 0;
    if (mine) {
        words = account.sequence.size();
        for (const auto& [place, line] : account.lines)
            words += line.count - std::count(line.mask, line.mask + line.count, 0);
    }
    found = {uint32_t(&engine - engines_.data()), address, index, cycle_, before, words, 1};
    return false;
}

void Lockstep::words(uint64_t* place, uint64_t* data, uint64_t* mask) const {
    if (!found.words) return;
    const Account& account = accounts_[engines_[found.engine].tap.account];
    for (const auto& [first, word] : account.sequence) {
        *place++ = first;
        *data++ = word;
        *mask++ = 0xFF;
    }
    for (const auto& [first, line] : account.lines)
        for (unsigned word = 0; word < line.count; ++word) {
            if (!line.mask[word]) continue;
            *place++ = first + word;
            *data++ = line.data[word];
            *mask++ = line.mask[word];
        }
}

std::vector<uint64_t> Lockstep::retired() const {
    std::vector<uint64_t> counts;
    for (const Engine& engine : engines_) counts.push_back(engine.retired);
    return counts;
}

extern "C" {

// A signal that the build keeps visible, by scope and name; no bytes if there is none.
void alula_signal(Simulation* simulation, const char* scope, const char* name, Signal* signal) {
    const VerilatedScope* place = simulation->context->scopeFind(scope);
    const VerilatedVar* found = place ? place->varFind(name) : nullptr;
    *signal = {};
    if (found) *signal = {static_cast<const uint8_t*>(found->datap()), uint32_t(found->totalSize())};
}

// From now on runs are watched; without a plan no longer.
void alula_lockstep(Simulation* simulation, const Plan* plan) {
    simulation->observer.reset(plan ? new Lockstep(*simulation, *plan) : nullptr);
}

// How many instructions each engine has retired, and the divergence, if the run stopped at one.
void alula_retired(Simulation* simulation, uint64_t* counts, Found* found) {
    auto& lockstep = static_cast<Lockstep&>(*simulation->observer);
    for (uint64_t count : lockstep.retired()) *counts++ = count;
    *found = lockstep.found;
}

// What the diverging instruction wrote.
void alula_words(Simulation* simulation, uint64_t* place, uint64_t* data, uint64_t* mask) {
    static_cast<Lockstep&>(*simulation->observer).words(place, data, mask);
}

}  // extern "C"
