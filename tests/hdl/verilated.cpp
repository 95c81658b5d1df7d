// Clocks a Verilated component: a vector in and a vector out each cycle.

#include <algorithm>
#include <cstdint>
#include <memory>

#include "Vcard.h"
#include "ports.h"
#include "verilated.h"

namespace {

class Component {
public:
    Component() {
        context_->randReset(2);
        context_->randSeed(1);
        dut_ = std::make_unique<Vcard>(context_.get());
        std::fill_n(dut_->given.data(), GIVEN, 0);
        dut_->clk = 0;
    }
    ~Component() { dut_->final(); }

    // From reset, which takes memories nowhere.
    void run(const std::uint32_t* given, std::uint32_t* gives, std::uint64_t cycles) {
        dut_->rst = 1;
        for (int n = 0; n < 4; ++n) clock();
        dut_->rst = 0;
        while (cycles--) {
            std::copy_n(given, GIVEN, dut_->given.data());
            dut_->eval();
            std::copy_n(dut_->gives.data(), GIVES, gives);
            clock();
            given += GIVEN;
            gives += GIVES;
        }
    }

private:
    void clock() {
        dut_->clk = 1;
        dut_->eval();
        dut_->clk = 0;
        dut_->eval();
    }

    std::unique_ptr<VerilatedContext> context_ = std::make_unique<VerilatedContext>();
    std::unique_ptr<Vcard> dut_;
};

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT Component* component_new() { return new Component; }
EXPORT void component_run(Component* it, const std::uint32_t* given, std::uint32_t* gives,
                          std::uint64_t cycles) {
    it->run(given, gives, cycles);
}
