// Counts what each engine has retired since its run began.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

class Retired {
public:
    // `running`: from a run's start to its end. `done`: an engine's instruction retires.
    Retired(const uint8_t* running, const uint8_t* const* done, unsigned engines)
        : running_(running), done_(done, done + engines), counts_(engines) {}

    // One cycle, all signals before the clock's edge.
    void see() {
        bool runs = *running_ & 1;
        if (runs && !ran_) std::fill(counts_.begin(), counts_.end(), 0);
        ran_ = runs;
        if (runs)
            for (unsigned engine = 0; engine < done_.size(); ++engine)
                counts_[engine] += *done_[engine] & 1;
    }

    const std::vector<uint64_t>& counts() const { return counts_; }

private:
    const uint8_t* running_;
    std::vector<const uint8_t*> done_;
    std::vector<uint64_t> counts_;
    bool ran_ = false;
};
