// Several AXI ports in front of one DRAM controller.
//
// Each AXI port leads to a port of the controller, alone or with others. A port of the controller
// passes one access in so many DRAM clocks, reads and writes together. Who waits takes turns: the
// reads and writes of the AXI ports of a port of the controller, and those ports among each other.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "dram.h"

// As alula.rtl.dram_ports fills it in, field by field.
struct PortsConfig {
    uint32_t ports;          // AXI ports
    uint32_t clocks;         // in which a port of the controller passes an access; 0: no limit
    uint32_t controller[8];  // the port of the controller that each leads to, counted from 0
    uint64_t base[8];        // the access that each AXI port's first one is
};

class DramPorts {
  public:
    // What was handed to the controller.
    struct Passed {
        uint64_t cycle, access;
        uint32_t port, write;
    };

    static constexpr size_t DEPTH = 16;  // reads, and writes, of an AXI port that wait here

    DramPorts(const DramConfig& config, const PortsConfig& ports, unsigned channel = 0,
              unsigned channels = 1)
        : dram(config, channel, channels, ports.ports), config_(config), ports_(ports),
          waiting_(size_t{2} * ports.ports) {
        for (uint32_t port = 0; port < ports.ports; ++port) {
            uint32_t number = ports.controller[port];
            if (number >= shared_.size()) shared_.resize(number + 1);
            for (uint32_t write : {0u, 1u}) shared_[number].queues.push_back(2 * port + write);
        }
    }

    // It is now `cycle`; each port may say so.
    void advance(uint64_t cycle) {
        if (begun_ && cycle == cycle_) return;
        begun_ = true;
        cycle_ = cycle;
        dram.advance(cycle);
        uint64_t before = clock_;
        clock_ = cycle * config_.clocks / config_.cycles;
        for (size_t idle = 0; idle < shared_.size(); turn_ = (turn_ + 1) % shared_.size()) {
            Shared& shared = shared_[turn_];
            if (shared.free > clock_ || !pass(shared)) {
                ++idle;
                continue;
            }
            idle = 0;
            // Who was busy in the last cycle goes on at its rate, between two cycles too.
            shared.free = (shared.free <= before ? clock_ : shared.free) + ports_.clocks;
        }
    }

    bool can_ask(unsigned port, bool write) const {
        const auto& queue = waiting_[2 * port + write];
        return queue.size() < DEPTH && (write || dram.can_return(port, queue.size()));
    }
    void ask(unsigned port, bool write, uint64_t access) {
        waiting_[2 * port + write].push_back(access + ports_.base[port]);
    }
    void forget() {
        dram.forget();
        for (auto& queue : waiting_) queue.clear();
    }

    // From now on what is handed to the controller is noted in `log`.
    void watch(std::vector<Passed>& log) { log_ = &log; }

    Dram dram;

  private:
    // A port of the controller: the queues that lead to it, whose turn it is, when it is free.
    struct Shared {
        std::vector<uint32_t> queues;
        size_t turn = 0;
        uint64_t free = 0;
    };

    bool pass(Shared& shared) {
        for (size_t tried = 0; tried < shared.queues.size(); ++tried) {
            uint32_t number = shared.queues[shared.turn];
            shared.turn = (shared.turn + 1) % shared.queues.size();
            auto& queue = waiting_[number];
            bool write = number & 1;
            if (queue.empty() || !(write ? dram.can_write() : dram.has_place())) continue;
            if (write) dram.write(queue.front());
            else dram.read(queue.front(), number / 2);
            if (log_) log_->push_back({cycle_, queue.front(), number / 2, write});
            queue.pop_front();
            return true;
        }
        return false;
    }

    const DramConfig config_;
    const PortsConfig ports_;
    std::vector<std::deque<uint64_t>> waiting_;  // reads and writes of each AXI port
    std::vector<Shared> shared_;
    size_t turn_ = 0;
    uint64_t cycle_ = 0, clock_ = 0;  // of the core, of the DRAM
    bool begun_ = false;
    std::vector<Passed>* log_ = nullptr;
};

// One of them, as memory behind an AXI port.
class DramPort final : public MemoryTiming {
  public:
    DramPort(std::shared_ptr<DramPorts> ports, unsigned number)
        : MemoryTiming(ports->dram.access_bytes), ports_(std::move(ports)), number_(number) {}

    void advance(uint64_t cycle) override { ports_->advance(cycle); }
    bool can_read() const override { return ports_->can_ask(number_, false); }
    void read(uint64_t access) override { ports_->ask(number_, false, access); }
    bool arrived() const override { return ports_->dram.arrived(number_); }
    void take() override { ports_->dram.take(number_); }
    bool can_write() const override { return ports_->can_ask(number_, true); }
    void write(uint64_t access) override { ports_->ask(number_, true, access); }
    uint64_t answered() const override { return ports_->dram.answered(); }
    void forget() override { ports_->forget(); }

  private:
    std::shared_ptr<DramPorts> ports_;
    unsigned number_;
};
