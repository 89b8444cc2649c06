// Waves of a window of cycles as an FST file. Only for models that were built with `trace`.
#pragma once
#include <string>

#include "harness.h"
#include "verilated_fst_c.h"

class Waves {
  public:
    // From cycle `start` to before `stop`; the file appears with the first of them.
    Waves(Simulation& simulation, std::string path, uint64_t start, uint64_t stop)
        : simulation_(simulation), path_(std::move(path)), start_(start), stop_(stop) {}

    // What the model shows in a cycle, before or behind the clock's edge.
    void see(uint64_t cycle, bool behind) {
        if (cycle < start_ || cycle > stop_) return;
        if (cycle == stop_) {
            file_.close();
        } else {
            if (!file_.isOpen()) open();
            file_.dump(2 * cycle + behind);
        }
    }

  private:
    static constexpr int EVERY_LEVEL = 99;

    void open() {
        simulation_.context->traceEverOn(true);
        simulation_.top->trace(&file_, EVERY_LEVEL);
        file_.open(path_.c_str());
    }

    Simulation& simulation_;
    std::string path_;
    uint64_t start_, stop_;
    VerilatedFstC file_;
};
