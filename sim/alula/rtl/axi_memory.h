// A memory behind an AXI port: handshakes, bursts, responses and data. When what happens is left
// to a MemoryTiming.
#pragma once
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "dram_ports.h"
#include "port.h"

// The signals of an AXI port's sides, in the order in which Python lists them.
enum Read { ARADDR, ARLEN, ARVALID, ARREADY, RDATA, RRESP, RLAST, RVALID, RREADY, READS };
enum Write {
    AWADDR, AWLEN, AWVALID, AWREADY, WDATA, WSTRB, WLAST, WVALID, WREADY,
    BRESP, BVALID, BREADY, WRITES
};

struct Timing {
    uint32_t read_latency;   // fixed, in cycles from an address to its first beat; 0: as `dram` says
    uint32_t write_latency;  // fixed, in cycles from the last beat of a burst to its answer
    uint32_t stalls;         // of 256 cycles, those in which a channel of AXI stands still
    uint32_t seed;
    DramConfig dram;
    PortsConfig ports;  // of a memory channel
};

// A range of the chip's addresses at which a part of the memory is found.
struct MemoryWindow {
    uint64_t first, bytes;
};

// Where a memory channel's bytes lie: among the chip's addresses, and in the simulation's memory.
struct Layout {
    uint8_t* memory;   // the channel's part of the first beat
    uint64_t bytes;    // of the channel
    unsigned shift;    // its part of a beat has 1 << shift bytes
    uint64_t pitch;    // from one beat to the next
    std::vector<MemoryWindow> windows;  // one after the other; none: from address 0 on

    // The byte of the channel behind an address; `bytes` or more: there is none.
    uint64_t offset(uint64_t address) const {
        if (windows.empty()) return address;
        uint64_t begins = 0;
        for (const MemoryWindow& window : windows) {
            if (address - window.first < window.bytes) return begins + address - window.first;
            begins += window.bytes;
        }
        return bytes;
    }
    uint8_t* place(uint64_t offset) const {
        return memory + (offset >> shift) * pitch + (offset & ((uint64_t{1} << shift) - 1));
    }
};

enum Response : uint32_t { OKAY = 0, SLVERR = 2, DECERR = 3, SILENT = 4 };

// Beats from `first` to before `last` get this response; SILENT: their burst is never answered.
struct Defect {
    uint64_t first = 0, last = 0;
    uint32_t response = OKAY;
};

struct Random {
    uint64_t state;
    uint32_t next() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return static_cast<uint32_t>(state >> 32);
    }
};

// An AXI port to a memory channel, `beat_bytes` wide. `write` is empty where it only reads.
class AxiPort {
  public:
    AxiPort(std::vector<Port> read, std::vector<Port> write, Layout layout, unsigned beat_bytes,
            unsigned number, const Timing& timing, std::unique_ptr<MemoryTiming> memory)
        : read_(std::move(read)), write_(std::move(write)), timing_(std::move(memory)),
          layout_(std::move(layout)), beat_bytes_(beat_bytes), stalls_(timing.stalls),
          random_{0x9E3779B97F4A7C15ull ^ (uint64_t{timing.seed + 7919 * number} << 20 | 1)} {
        for (auto index : {ARREADY, RVALID, RRESP, RLAST}) read_[index].set(0);
        if (write_.empty()) return;
        for (auto index : {AWREADY, WREADY, BVALID, BRESP}) write_[index].set(0);
    }

    // What the core sees in this cycle. A valid that waits stands still.
    void drive(uint64_t now) {
        timing_->advance(now);
        ask();
        read_[ARREADY].set(!stall() && bursts_.size() < 64);
        if (!read_[RVALID].get() && !bursts_.empty() && arrived(bursts_.front()) && !stall()) {
            const Burst& burst = bursts_.front();
            uint32_t response = answer(burst.beat);
            if (response != SILENT) {
                if (response == OKAY)
                    memcpy(read_[RDATA].place, layout_.place(burst.beat * beat_bytes_), beat_bytes_);
                read_[RRESP].set(response);
                read_[RLAST].set(burst.left == 1);
                read_[RVALID].set(1);
            }
        }
        if (write_.empty()) return;
        write_[AWREADY].set(!stall() && writes_.size() < 64);
        write_[WREADY].set(!stall() && !writes_.empty() && timing_->can_write());
        if (!write_[BVALID].get() && !answers_.empty() && answers_.front().ready <= now &&
            answers_.front().response != SILENT && !stall()) {
            write_[BRESP].set(answers_.front().response);
            write_[BVALID].set(1);
        }
    }

    // What passes at the clock's edge; the ports hold what both sides said before it.
    bool pass(uint64_t) {
        moved_ = false;
        bool address = handshake(read_[ARVALID], read_[ARREADY]);
        read_taken_ = handshake(read_[RVALID], read_[RREADY]);
        if (read_taken_) {
            Burst& burst = bursts_.front();
            ++burst.beat;
            ++reads;
            if (--burst.left == 0) bursts_.pop_front();
        }
        if (address) {
            uint64_t beat = layout_.offset(read_[ARADDR].get()) / beat_bytes_;
            unsigned count = unsigned(read_[ARLEN].get()) + 1;
            bursts_.push_back({beat, count, first_access(beat), OKAY});
            wanted_.push_back({first_access(beat), last_access(beat + count - 1)});
        }
        if (write_.empty()) return moved_;
        if (handshake(write_[WVALID], write_[WREADY])) store();
        if (handshake(write_[AWVALID], write_[AWREADY])) {
            uint64_t beat = layout_.offset(write_[AWADDR].get()) / beat_bytes_;
            writes_.push_back({beat, unsigned(write_[AWLEN].get()) + 1, first_access(beat), OKAY});
        }
        answer_taken_ = handshake(write_[BVALID], write_[BREADY]);
        if (answer_taken_) answers_.pop_front();
        return moved_;
    }

    // Behind the edge: what was taken is gone.
    void release() {
        if (read_taken_) read_[RVALID].set(0);
        if (answer_taken_) write_[BVALID].set(0);
    }

    // Drop what is owed.
    void forget() {
        timing_->forget();
        wanted_.clear();
        bursts_.clear();
        writes_.clear();
        answers_.clear();
        read_[RVALID].set(0);
        if (!write_.empty()) write_[BVALID].set(0);
    }

    Defect defect;
    uint64_t reads = 0, written = 0;

  private:
    struct Burst {
        uint64_t beat;
        unsigned left;
        uint64_t access;  // the next that has not arrived, or is not written
        uint32_t response;
    };
    struct Answer {
        uint32_t response;
        uint64_t ready;
    };
    struct Accesses {
        uint64_t next, last;
    };

    uint64_t first_access(uint64_t beat) const {
        return beat * beat_bytes_ / timing_->access_bytes;
    }
    uint64_t last_access(uint64_t beat) const {
        return ((beat + 1) * beat_bytes_ - 1) / timing_->access_bytes;
    }

    void ask() {
        while (!wanted_.empty() && timing_->can_read()) {
            timing_->read(wanted_.front().next);
            if (wanted_.front().next++ == wanted_.front().last) wanted_.pop_front();
        }
    }

    bool arrived(Burst& burst) {
        uint64_t last = last_access(burst.beat);
        for (; burst.access <= last; ++burst.access) {
            if (!timing_->arrived()) return false;
            timing_->take();
        }
        return true;
    }

    uint32_t answer(uint64_t beat) const {
        uint64_t offset = beat * beat_bytes_, whole = offset >> layout_.shift;
        if (whole >= defect.first && whole < defect.last) return defect.response;
        return offset < layout_.bytes ? OKAY : DECERR;
    }

    bool stall() { return stalls_ && (random_.next() & 255) < stalls_; }

    bool handshake(const Port& valid, const Port& ready) {
        bool passes = valid.get() && ready.get();
        moved_ |= passes;
        return passes;
    }

    void store() {
        Burst& burst = writes_.front();
        uint32_t response = answer(burst.beat);
        if (response == OKAY) {
            uint64_t strobe = write_[WSTRB].get();
            uint8_t* place = layout_.place(burst.beat * beat_bytes_);
            for (unsigned byte = 0; byte < beat_bytes_; ++byte)
                if (strobe >> byte & 1) {
                    place[byte] = write_[WDATA].place[byte];
                    ++written;
                }
        } else {
            burst.response = response;
        }
        for (uint64_t last = last_access(burst.beat); burst.access <= last; ++burst.access)
            timing_->write(burst.access);
        ++burst.beat;
        if (--burst.left == 0) {
            answers_.push_back({burst.response, timing_->answered()});
            writes_.pop_front();
        }
    }

    std::vector<Port> read_, write_;
    std::unique_ptr<MemoryTiming> timing_;
    Layout layout_;
    unsigned beat_bytes_;
    uint32_t stalls_;
    Random random_;
    std::deque<Accesses> wanted_;  // by bursts that have not been asked for in full
    std::deque<Burst> bursts_, writes_;
    std::deque<Answer> answers_;
    bool moved_ = false, read_taken_ = false, answer_taken_ = false;
};
