// Counts what each engine has retired since its run began, and notes the cycles.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

class Retired {
public:
    // `running`: from a run's start to its end. `done`: an engine's instruction retires.
    Retired(const uint8_t* running, const uint8_t* const* done, unsigned engines)
        : running_(running), done_(done, done + engines), counts_(engines), cycles_(engines) {}

    // One cycle, all signals before the clock's edge.
    void see() {
        bool runs = *running_ & 1;
        if (runs && !ran_) {
            std::fill(counts_.begin(), counts_.end(), 0);
            for (auto& cycles : cycles_) cycles.clear();
            cycle_ = 0;
        }
        ran_ = runs;
        if (!runs) return;
        ++cycle_;
        for (unsigned engine = 0; engine < done_.size(); ++engine)
            if (*done_[engine] & 1) {
                ++counts_[engine];
                if (cycles_[engine].size() < NOTED) cycles_[engine].push_back(cycle_);
            }
    }

    const std::vector<uint64_t>& counts() const { return counts_; }
    // Cycles of the run up to each of an engine's retirements, those of the first NOTED.
    const std::vector<uint64_t>& cycles(unsigned engine) const { return cycles_[engine]; }

private:
    static constexpr size_t NOTED = 1 << 20;
    const uint8_t* running_;
    std::vector<const uint8_t*> done_;
    std::vector<uint64_t> counts_;
    std::vector<std::vector<uint64_t>> cycles_;
    uint64_t cycle_ = 0;
    bool ran_ = false;
};
