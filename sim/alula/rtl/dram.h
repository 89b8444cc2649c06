// A channel of DRAM and its controller.
//
// Time is counted in DRAM clocks and goes from command to command, so that a clock in which
// nothing can be issued costs nothing. Timings have their JEDEC names and are in clocks (nCK).
//
// The controller holds up to DEPTH reads and DEPTH writes, each one burst on the bus, and issues
// one command a clock, first-ready, first-come (FR-FCFS): of the commands that its accesses need
// next, the one that can be issued first; of several the one of the oldest access. A row is closed
// only for an access to another row of its bank, and not before the access that it was opened for
// is served. After CAP commands for younger accesses the oldest alone is served. Writes wait until
// HIGH of them are there or no read is, and then go until LOW are left. Every tREFI the banks of a
// rank are closed and refreshed, before anything else. Data that was read waits for all that was
// asked for before it: RETURN reads at most are under way or wait.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "memory_timing.h"

enum AddressField : uint32_t { ROW, RANK, BANK, BANK_GROUP, COLUMN, ADDRESS_FIELDS };

// As alula.rtl.dram fills it in, field by field.
struct DramConfig {
    uint32_t clocks, cycles;  // so many DRAM clocks take as long as so many core cycles
    uint32_t access_bytes;    // of one burst
    uint32_t burst;           // clocks in which a burst's data passes: BL / 2
    uint32_t ranks, bank_groups, banks;  // banks: of one group
    uint32_t slices, field[8], bits[8];  // an access's number from its lowest bit; row is the rest
    uint32_t hashed;                     // bank and bank group are XORed with the row's low bits
    uint32_t latency;                    // core cycles from the port to the DRAM and back
    uint32_t CL, CWL, tRCD, tRP, tRAS, tRC, tRRD_S, tRRD_L, tCCD_S, tCCD_L, tFAW;
    uint32_t tWR, tWTR_S, tWTR_L, tRTP, tRFC, tREFI;
};

class Dram final : public MemoryTiming {
  public:
    // A command and where it went; PRECHARGE_ALL and REFRESH go to a rank.
    enum Command : uint32_t { READ, WRITE, ACTIVATE, PRECHARGE, PRECHARGE_ALL, REFRESH };
    struct Issued {
        uint64_t at;
        Command command;
        uint32_t rank, group, bank;  // group and bank: counted over all ranks
        uint64_t row;
    };

    static constexpr unsigned DEPTH = 32, CAP = 128, HIGH = 24, LOW = 8, RETURN = 128;

    // The refreshes of all ranks of all channels are spread evenly over tREFI.
    // Reads are of `ports` askers, each of which gets its own in order.
    explicit Dram(const DramConfig& config, unsigned channel = 0, unsigned channels = 1,
                  unsigned ports = 1)
        : MemoryTiming(config.access_bytes), c_(config), ranks_(config.ranks),
          groups_(size_t{config.ranks} * config.bank_groups),
          banks_(groups_.size() * config.banks), returns_(ports) {
        reads_.reserve(DEPTH);
        writes_.reserve(DEPTH);
        uint64_t number = uint64_t{channel} * c_.ranks;
        for (Rank& rank : ranks_) rank.refresh = c_.tREFI * ++number / (channels * c_.ranks);
    }

    void advance(uint64_t cycle) override {
        cycle_ = cycle;
        uint64_t end = (cycle * c_.clocks + c_.cycles - 1) / c_.cycles;
        while (wake_ < end) {
            Step step = next();
            wake_ = step.at;
            if (step.at >= end) break;
            issue(step);
            now_ = step.at + 1;
            wake_ = 0;
        }
        now_ = end;
    }

    bool can_read() const override { return has_place() && can_return(0, 0); }
    bool has_place() const { return reads_.size() < DEPTH; }
    // Whether a port can take what it waits for, so many reads that are not asked for yet, and one.
    bool can_return(unsigned port, size_t waiting) const {
        return returns_[port].asked - returns_[port].taken + waiting < RETURN;
    }

    void read(uint64_t access) override { read(access, 0); }
    void read(uint64_t access, unsigned port) {
        Return& into = returns_[port];
        uint64_t* arrival = &into.arrivals[into.asked++ % RETURN];
        *arrival = NEVER;
        push(reads_, access, arrival);
    }

    bool arrived() const override { return arrived(0); }
    bool arrived(unsigned port) const {
        const Return& from = returns_[port];
        return from.taken < from.asked && from.arrivals[from.taken % RETURN] <= cycle_;
    }

    void take() override { take(0); }
    void take(unsigned port) { ++returns_[port].taken; }

    bool can_write() const override { return writes_.size() < DEPTH; }

    void write(uint64_t access) override { push(writes_, access, nullptr); }

    uint64_t answered() const override { return cycle_ + c_.latency; }

    // From now on all commands are noted in `log`.
    void watch(std::vector<Issued>& log) { log_ = &log; }

    void forget() override {
        reads_.clear();
        writes_.clear();
        for (Return& port : returns_) port.taken = port.asked;
        misses_ = 0;
        wake_ = 0;
    }

  private:
    static constexpr uint64_t NEVER = ~uint64_t{0};
    static constexpr uint64_t CLOSED = ~uint64_t{0};

    // The reads of a port in order, and when each arrives, in core cycles.
    struct Return {
        uint64_t asked = 0, taken = 0;
        std::vector<uint64_t> arrivals = std::vector<uint64_t>(RETURN);
    };

    struct Access {
        uint64_t row;
        uint64_t* arrival;  // of a read
        uint32_t bank, group, rank;
        bool opened;  // its row
    };

    // For each kind of command the first clock that what was issued before allows.
    struct Bank {
        uint64_t row = CLOSED;
        uint64_t activate = 0, precharge = 0, column = 0;
    };
    struct Group {
        uint64_t activate = 0, read = 0, write = 0;
    };
    struct Rank {
        uint64_t activate = 0, read = 0, write = 0;
        uint64_t activated[4] = {};  // the first clocks in which tFAW allows the next four
        unsigned oldest = 0;
        uint64_t refresh = 0;  // when the next is due
    };

    // A command for an access of the queue, or (PRECHARGE_ALL, REFRESH) for a rank.
    struct Step {
        uint64_t at = NEVER;
        Command command = REFRESH;
        size_t place = 0;
    };

    void push(std::vector<Access>& queue, uint64_t access, uint64_t* arrival) {
        uint64_t value[ADDRESS_FIELDS] = {};
        unsigned known[ADDRESS_FIELDS] = {};
        for (uint32_t slice = 0; slice < c_.slices; ++slice) {
            uint32_t field = c_.field[slice], bits = c_.bits[slice];
            value[field] |= (access & ((uint64_t{1} << bits) - 1)) << known[field];
            known[field] += bits;
            access >>= bits;
        }
        uint64_t row = access, group = value[BANK_GROUP], bank = value[BANK];
        if (c_.hashed) {
            group ^= row % c_.bank_groups;
            bank ^= row / c_.bank_groups % c_.banks;
        }
        uint32_t rank = uint32_t(value[RANK]), whole = uint32_t(rank * c_.bank_groups + group);
        Access made{row, arrival, uint32_t(whole * c_.banks + bank), whole, rank, false};
        misses_ += banks_[made.bank].row != row;
        queue.push_back(made);
        wake_ = 0;
    }

    // The next command with the queues as they are.
    Step next() {
        writing_ = writing_ ? !writes_.empty() && (reads_.empty() || writes_.size() > LOW)
                            : writes_.size() >= HIGH || (reads_.empty() && !writes_.empty());
        const std::vector<Access>& queue = writing_ ? writes_ : reads_;
        // Without misses no command is possible before the bus is free again.
        uint64_t first = now_;
        if (!misses_ && c_.ranks == 1)
            first = std::max(first, writing_ ? ranks_[0].write : ranks_[0].read);
        size_t count = std::min<size_t>(queue.size(), overtaken_ < CAP ? DEPTH : 1);
        uint64_t kept = 0;  // banks that no younger access may open or close
        Step best;
        for (size_t place = 0; place < count; ++place) {
            const Access& access = queue[place];
            const Bank& bank = banks_[access.bank];
            const Group& group = groups_[access.group];
            const Rank& rank = ranks_[access.rank];
            uint64_t at, bit = uint64_t{1} << (access.bank & 63);
            Command command;
            if (bank.row == access.row) {
                command = writing_ ? WRITE : READ;
                at = writing_ ? std::max({bank.column, group.write, rank.write})
                              : std::max({bank.column, group.read, rank.read});
            } else if (kept & bit) {
                continue;
            } else if (bank.row == CLOSED) {
                command = ACTIVATE;
                at = std::max({bank.activate, group.activate, rank.activate,
                               rank.activated[rank.oldest]});
            } else {
                command = PRECHARGE;
                at = bank.precharge;
            }
            if (bank.row != access.row || access.opened) kept |= bit;
            at = std::max(at, now_);
            if (at < best.at && at < rank.refresh) {
                best = {at, command, place};
                if (at <= first) return best;
            }
        }
        for (size_t number = 0; number < ranks_.size(); ++number)
            if (ranks_[number].refresh < best.at) {
                Step step = refresh(number);
                if (step.at < best.at) best = step;
            }
        return best;
    }

    // What a rank whose refresh is due needs next.
    Step refresh(size_t rank) const {
        uint64_t due = std::max(now_, ranks_[rank].refresh), closed = due;
        bool open = false;
        size_t many = size_t{c_.bank_groups} * c_.banks;
        for (size_t number = rank * many; number < (rank + 1) * many; ++number) {
            const Bank& bank = banks_[number];
            closed = std::max(closed, bank.activate);
            if (bank.row != CLOSED) {
                open = true;
                due = std::max(due, bank.precharge);
            }
        }
        return open ? Step{due, PRECHARGE_ALL, rank} : Step{closed, REFRESH, rank};
    }

    void issue(const Step& step) {
        std::vector<Access>& queue = writing_ ? writes_ : reads_;
        uint64_t at = step.at;
        if (step.command == PRECHARGE_ALL || step.command == REFRESH) {
            size_t many = size_t{c_.bank_groups} * c_.banks;
            for (size_t number = step.place * many; number < (step.place + 1) * many; ++number) {
                Bank& bank = banks_[number];
                bank.row = CLOSED;
                bank.activate = std::max<uint64_t>(
                    bank.activate, at + (step.command == REFRESH ? c_.tRFC : c_.tRP));
            }
            if (step.command == REFRESH) ranks_[step.place].refresh += c_.tREFI;
            if (log_) log_->push_back({at, step.command, uint32_t(step.place), 0, 0, 0});
            count_misses();
            return;
        }
        Access access = queue[step.place];
        overtaken_ = step.place ? overtaken_ + 1 : 0;
        Bank& bank = banks_[access.bank];
        Group& group = groups_[access.group];
        Rank& rank = ranks_[access.rank];
        if (log_)
            log_->push_back({at, step.command, access.rank, access.group, access.bank, access.row});
        switch (step.command) {
            case PRECHARGE:
                bank.row = CLOSED;
                bank.activate = std::max(bank.activate, at + c_.tRP);
                count_misses();
                break;
            case ACTIVATE:
                queue[step.place].opened = true;
                bank.row = access.row;
                bank.column = at + c_.tRCD;
                bank.precharge = at + c_.tRAS;
                bank.activate = at + c_.tRC;
                group.activate = at + c_.tRRD_L;
                rank.activate = at + c_.tRRD_S;
                rank.activated[rank.oldest] = at + c_.tFAW;
                rank.oldest = (rank.oldest + 1) % 4;
                count_misses();
                break;
            default:
                if (writing_) {
                    wrote(at, bank, group, rank);
                } else {
                    was_read(at, bank, group, rank);
                    uint64_t end = at + c_.CL + c_.burst;
                    *access.arrival = (end * c_.cycles + c_.clocks - 1) / c_.clocks + c_.latency;
                }
                queue.erase(queue.begin() + std::ptrdiff_t(step.place));
        }
    }

    void was_read(uint64_t at, Bank& bank, Group& group, Rank& rank) {
        uint64_t turned = at + c_.CL + c_.burst + TURN - c_.CWL;
        bank.precharge = std::max(bank.precharge, at + c_.tRTP);
        group.read = at + c_.tCCD_L;
        for (Rank& other : ranks_) {
            bool same = &other == &rank;
            later(other.read, at + (same ? c_.tCCD_S : c_.burst + TURN));
            later(other.write, turned);
        }
    }

    void wrote(uint64_t at, Bank& bank, Group& group, Rank& rank) {
        uint64_t end = at + c_.CWL + c_.burst;
        bank.precharge = std::max(bank.precharge, end + c_.tWR);
        group.write = at + c_.tCCD_L;
        group.read = end + c_.tWTR_L;
        for (Rank& other : ranks_) {
            bool same = &other == &rank;
            later(other.write, at + (same ? c_.tCCD_S : c_.burst + TURN));
            later(other.read, same ? end + c_.tWTR_S : end + TURN - std::min<uint64_t>(end, c_.CL));
        }
    }

    static void later(uint64_t& clock, uint64_t than) { clock = std::max(clock, than); }

    void count_misses() {
        misses_ = 0;
        for (const auto* queue : {&reads_, &writes_})
            for (const Access& access : *queue) misses_ += banks_[access.bank].row != access.row;
    }

    // Clocks that the bus stands still when it changes its driver: two, one of them the preamble.
    static constexpr uint64_t TURN = 2;

    const DramConfig c_;
    std::vector<Rank> ranks_;
    std::vector<Group> groups_;
    std::vector<Bank> banks_;
    std::vector<Access> reads_, writes_;  // by age
    std::vector<Return> returns_;         // by port
    uint64_t cycle_ = 0, now_ = 0;        // in core cycles and in DRAM clocks
    uint64_t wake_ = 0;                   // nothing can be issued before
    unsigned misses_ = 0;                 // accesses whose row is not open
    unsigned overtaken_ = 0;
    bool writing_ = false;
    std::vector<Issued>* log_ = nullptr;
};
