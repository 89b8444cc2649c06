// A memory behind an AXI port: handshakes, bursts, responses, data.
#pragma once
#include <deque>
#include <utility>
#include <vector>

#include "port.h"

// An AXI channel's ports, in the order in which Python lists them.
enum Read { ARADDR, ARLEN, ARVALID, ARREADY, RDATA, RRESP, RLAST, RVALID, RREADY, READS };
enum Write {
    AWADDR, AWLEN, AWVALID, AWREADY, WDATA, WSTRB, WLAST, WVALID, WREADY,
    BRESP, BVALID, BREADY, WRITES
};

struct Timing {
    uint32_t read_latency;   // cycles from an address to its first beat
    uint32_t write_latency;  // cycles from the last beat of a burst to its answer
    uint32_t stalls;         // of 256 cycles, those in which a channel of AXI stands still
    uint32_t seed;
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

// One channel: its part of every beat, `beat_bytes` wide, one after the other `pitch` bytes apart.
class Channel {
  public:
    Channel(std::vector<Port> read, std::vector<Port> write, uint8_t* bytes, uint64_t beats,
            unsigned beat_bytes, uint64_t pitch, Timing timing)
        : read_(std::move(read)), write_(std::move(write)), bytes_(bytes), beats_(beats),
          beat_bytes_(beat_bytes), pitch_(pitch), timing_(timing),
          random_{0x9E3779B97F4A7C15ull ^ (uint64_t{timing.seed} << 20 | (pitch + 1))} {
        for (auto index : {ARREADY, RVALID, RRESP, RLAST}) read_[index].set(0);
        for (auto index : {AWREADY, WREADY, BVALID, BRESP}) write_[index].set(0);
    }

    // What the core sees in this cycle. A valid that waits stands still.
    void drive(uint64_t now) {
        read_[ARREADY].set(!stall() && bursts_.size() < 64);
        if (!read_[RVALID].get() && !bursts_.empty() && bursts_.front().ready <= now && !stall()) {
            const Burst& burst = bursts_.front();
            bool there = burst.beat < beats_;
            if (there) memcpy(read_[RDATA].place, bytes_ + burst.beat * pitch_, beat_bytes_);
            read_[RRESP].set(there ? 0 : 3);
            read_[RLAST].set(burst.left == 1);
            read_[RVALID].set(1);
        }
        write_[AWREADY].set(!stall() && writes_.size() < 64);
        write_[WREADY].set(!stall() && !writes_.empty());
        if (!write_[BVALID].get() && !answers_.empty() && answers_.front().ready <= now && !stall()) {
            write_[BRESP].set(answers_.front().response);
            write_[BVALID].set(1);
        }
    }

    // What passes at the clock's edge; the ports hold what both sides said before it.
    bool pass(uint64_t now) {
        moved_ = false;
        address_ = handshake(read_[ARVALID], read_[ARREADY]);
        read_taken_ = handshake(read_[RVALID], read_[RREADY]);
        if (read_taken_) {
            Burst& burst = bursts_.front();
            ++burst.beat;
            ++reads;
            if (--burst.left == 0) bursts_.pop_front();
        }
        if (address_)
            bursts_.push_back({read_[ARADDR].get() / beat_bytes_, unsigned(read_[ARLEN].get()) + 1,
                               now + timing_.read_latency});
        if (handshake(write_[WVALID], write_[WREADY])) store(now);
        if (handshake(write_[AWVALID], write_[AWREADY]))
            writes_.push_back({write_[AWADDR].get() / beat_bytes_,
                               unsigned(write_[AWLEN].get()) + 1, 0});
        answer_taken_ = handshake(write_[BVALID], write_[BREADY]);
        if (answer_taken_) answers_.pop_front();
        return moved_;
    }

    // Behind the edge: what was taken is gone.
    void release() {
        if (read_taken_) read_[RVALID].set(0);
        if (answer_taken_) write_[BVALID].set(0);
    }

    uint64_t reads = 0, written = 0;

  private:
    struct Burst {
        uint64_t beat;
        unsigned left;
        uint64_t ready;
        unsigned response = 0;
    };
    struct Answer {
        unsigned response;
        uint64_t ready;
    };

    bool stall() { return timing_.stalls && (random_.next() & 255) < timing_.stalls; }

    bool handshake(const Port& valid, const Port& ready) {
        bool passes = valid.get() && ready.get();
        moved_ |= passes;
        return passes;
    }

    void store(uint64_t now) {
        Burst& burst = writes_.front();
        if (burst.beat < beats_) {
            uint64_t strobe = write_[WSTRB].get();
            for (unsigned byte = 0; byte < beat_bytes_; ++byte)
                if (strobe >> byte & 1) {
                    bytes_[burst.beat * pitch_ + byte] = write_[WDATA].place[byte];
                    ++written;
                }
        } else {
            burst.response = 3;
        }
        ++burst.beat;
        if (--burst.left == 0) {
            answers_.push_back({burst.response, now + timing_.write_latency});
            writes_.pop_front();
        }
    }

    std::vector<Port> read_, write_;
    uint8_t* bytes_;
    uint64_t beats_;
    unsigned beat_bytes_;
    uint64_t pitch_;
    Timing timing_;
    Random random_;
    std::deque<Burst> bursts_, writes_;
    std::deque<Answer> answers_;
    bool moved_ = false, address_ = false, read_taken_ = false, answer_taken_ = false;
};
