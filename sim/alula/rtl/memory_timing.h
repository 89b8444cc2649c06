// When accesses to memory happen: what stands behind the AXI ports.
#pragma once
#include <cstdint>
#include <deque>

// A channel of memory as its port sees it. An access is `access_bytes` of memory, named by its
// address divided by them. Reads are answered in the order in which they were asked for.
class MemoryTiming {
  public:
    explicit MemoryTiming(unsigned bytes) : access_bytes(bytes) {}
    virtual ~MemoryTiming() = default;

    // It is now `cycle` of the core clock; called for every cycle, before anything else.
    virtual void advance(uint64_t cycle) = 0;

    virtual bool can_read() const = 0;
    virtual void read(uint64_t access) = 0;
    // The oldest read's data is there; `take` makes the next one the oldest.
    virtual bool arrived() const = 0;
    virtual void take() = 0;

    virtual bool can_write() const = 0;
    virtual void write(uint64_t access) = 0;
    // The cycle in which a burst is answered whose last write was taken now.
    virtual uint64_t answered() const = 0;

    // Drop all reads and writes.
    virtual void forget() = 0;

    const unsigned access_bytes;
};

// A memory of fixed latencies in core cycles, without a limit to what is outstanding.
class FixedLatency final : public MemoryTiming {
  public:
    FixedLatency(unsigned bytes, uint32_t read_latency, uint32_t write_latency)
        : MemoryTiming(bytes), read_latency_(read_latency), write_latency_(write_latency) {}

    void advance(uint64_t cycle) override { now_ = cycle; }
    bool can_read() const override { return true; }
    void read(uint64_t) override { arrivals_.push_back(now_ + read_latency_); }
    bool arrived() const override { return !arrivals_.empty() && arrivals_.front() <= now_; }
    void take() override { arrivals_.pop_front(); }
    bool can_write() const override { return true; }
    void write(uint64_t) override {}
    uint64_t answered() const override { return now_ + write_latency_; }
    void forget() override { arrivals_.clear(); }

  private:
    uint32_t read_latency_, write_latency_;
    uint64_t now_ = 0;
    std::deque<uint64_t> arrivals_;
};
