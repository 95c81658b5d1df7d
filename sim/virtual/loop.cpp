// The loop that clocks a Verilated card: frames in, UART bits in and out, everything observed.
//
// Cycle n of an input: the clock edge n samples it. Cycle n of an output: its value is valid before
// the clock edge n. ports.h is generated beside this file from the ports of the netlist.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "Vcard.h"
#include "ports.h"
#include "verilated.h"
#ifdef PROBES
#include "Vcard___024root.h"
// What settles everything that follows from registers; Verilator calls it once, after reset values.
void Vcard___024root___eval_settle(Vcard___024root* root);
#endif
#if VM_TRACE_VCD
#include "verilated_vcd_c.h"
#endif

namespace {

#define MEMBER(type, name) type name;
struct TopRecord {
    std::uint64_t cycle;
    TOP_FIELDS(MEMBER)
};
struct VerdictRecord {
    std::uint64_t cycle;
    VERDICT_FIELDS(MEMBER)
};
#undef MEMBER
struct FrameRecord {
    std::uint64_t first_cycle;
    std::uint64_t last_cycle;
    std::uint64_t length;
};

// Puts octets on a line as start bit, eight data bits from the lowest, stop bit; or, directly, whole
// ones on the control stream, each until it is taken.
class OctetSender {
public:
    explicit OctetSender(bool direct) : direct_(direct) {}
    void push(const std::uint8_t* octets, std::size_t count) {
        if (next_ == queue_.size()) {
            queue_.clear();
            next_ = 0;
        }
        queue_.insert(queue_.end(), octets, octets + count);
    }
    std::size_t pending() const { return queue_.size() - next_ + (bits_ || hold_ ? 1 : 0); }
    void clear() { *this = OctetSender(direct_); }
    void offer(Vcard& dut) {
        if (direct_) {
            dut.control_rx_valid = next_ < queue_.size();
            if (dut.control_rx_valid) dut.control_rx_payload = queue_[next_];
        } else {
            dut.uart_rx = step();
        }
    }
    void advance(const Vcard& dut) {
        if (direct_ && dut.control_rx_valid && dut.control_rx_ready) ++next_;
    }

private:
    bool step() {
        if (hold_) {
            --hold_;
        } else if (bits_) {
            line_ = shift_ & 1;
            shift_ >>= 1;
            --bits_;
            hold_ = UART_DIVISOR - 1;
        } else if (next_ < queue_.size()) {
            shift_ = static_cast<std::uint16_t>(queue_[next_++] | 0x100);
            line_ = false;
            bits_ = 9;
            hold_ = UART_DIVISOR - 1;
        }
        return line_;
    }

    bool direct_;
    std::vector<std::uint8_t> queue_;
    std::size_t next_ = 0;
    std::uint16_t shift_ = 0;
    unsigned bits_ = 0;
    unsigned hold_ = 0;
    bool line_ = true;
};

// Takes octets off a line, sampling each bit in its middle, and drops one whose stop bit is low; or,
// directly, off the control stream.
class OctetReceiver {
public:
    explicit OctetReceiver(bool direct) : direct_(direct) {}
    std::vector<std::uint8_t> octets;
    std::uint64_t framing_errors = 0;

    void clear() {
        octets.clear();
        bits_ = 0;
    }
    void observe(const Vcard& dut) {
        if (!direct_)
            step(dut.uart_tx);
        else if (dut.control_tx_valid)
            octets.push_back(dut.control_tx_payload);
    }

private:
    void step(bool line) {
        if (!bits_) {
            if (!line) {
                bits_ = 10;
                wait_ = UART_DIVISOR / 2;
            }
        } else if (--wait_ == 0) {
            wait_ = UART_DIVISOR;
            shift_ = static_cast<std::uint16_t>(shift_ >> 1 | line << 9);
            --bits_;
            if (bits_ == 9 && line) {
                bits_ = 0;
            } else if (bits_ == 0) {
                if (line)
                    octets.push_back(static_cast<std::uint8_t>(shift_ >> 1));
                else
                    ++framing_errors;
            }
        }
    }

    bool direct_;
    std::uint16_t shift_ = 0;
    unsigned bits_ = 0;
    unsigned wait_ = 0;
};

#ifdef PROBES
// A register, or a memory of several words, that can be looked at and changed.
struct Probe {
    const char* name;
    std::uint64_t width;
    std::uint64_t depth;
    std::uint64_t word_octets;
    std::size_t at;
};
#define PROBE(name, member, width, depth)                                 \
    Probe{name, width, depth, sizeof(Vcard___024root::member) / (depth), \
          offsetof(Vcard___024root, member)},
const std::vector<Probe>& probes() {
    static const std::vector<Probe> all{PROBES(PROBE)};
    return all;
}
#undef PROBE

// What is on rx in a cycle.
struct Input {
    std::uint64_t data;
    std::uint8_t valid, count, first, last;
};
#endif

enum Kind : unsigned { STARTS, GAPS, TOPS, VERDICTS, FRAMES, OCTETS, KINDS };

class Card {
public:
    Card(std::uint64_t tx_gap, bool direct, std::uint64_t memory_seed, const char* trace_path)
        : uart_in_(direct), uart_out_(direct), tx_gap_(tx_gap) {
        context_ = std::make_unique<VerilatedContext>();
        if (memory_seed) {
            context_->randReset(2);
            context_->randSeed(static_cast<int>(memory_seed));
        }
#if VM_TRACE_VCD
        context_->traceEverOn(true);
#endif
        dut_ = std::make_unique<Vcard>(context_.get());
#if VM_TRACE_VCD
        if (*trace_path) {
            trace_ = std::make_unique<VerilatedVcdC>();
            dut_->trace(trace_.get(), 99);
            trace_->open(trace_path);
        }
#else
        (void)trace_path;
#endif
        dut_->clk = 0;
        dut_->rst = 0;
        dut_->uart_rx = 1;
        dut_->direct = direct;
        dut_->control_rx_valid = 0;
        dut_->control_tx_ready = 1;
        idle_rx();
    }
    ~Card() {
#if VM_TRACE_VCD
        if (trace_) trace_->close();
#endif
        dut_->final();
    }

    std::uint64_t cycle() const { return cycle_; }

    void reset(std::uint64_t cycles) {
        uart_in_.clear();
        uart_out_.clear();
        frame_.clear();
        in_frame_ = false;
        tx_hold_ = 0;
        dut_->rst = 1;
        run(cycles);
        dut_->rst = 0;
        // The netlist takes the reset through a register.
        run(1);
        uart_out_.clear();
    }

    void run(std::uint64_t cycles) {
        while (cycles--) step();
    }

    void send(const std::uint8_t* frames, const std::uint32_t* lengths, const std::uint32_t* gaps,
              std::size_t count) {
        for (std::size_t n = 0; n < count; ++n) {
            run(gaps[n]);
            starts_.push_back(cycle_);
            const std::uint32_t length = lengths[n];
            dut_->rx_valid = 1;
            for (std::uint32_t at = 0; at < length; at += WIDTH) {
                const unsigned octets = std::min<std::uint32_t>(WIDTH, length - at);
                std::uint64_t word = 0;
                std::memcpy(&word, frames + at, octets);
                dut_->rx_data = word;
                dut_->rx_count = octets;
                dut_->rx_first = at == 0;
                dut_->rx_last = at + WIDTH >= length;
                step();
            }
            idle_rx();
            frames += length;
        }
    }

    // Runs until the host can read `wanted` octets or `cycles` have passed.
    std::uint64_t serial_wait(std::uint64_t wanted, std::uint64_t cycles) {
        while (uart_out_.octets.size() < wanted && cycles--) step();
        return uart_out_.octets.size();
    }
    // Runs until all that the host wrote is on the line or `cycles` have passed.
    std::uint64_t serial_flush(std::uint64_t cycles) {
        while (uart_in_.pending() && cycles--) step();
        return uart_in_.pending();
    }
    void serial_write(const std::uint8_t* octets, std::size_t count) {
        uart_in_.push(octets, count);
    }
    std::size_t serial_read(std::uint8_t* octets, std::size_t limit) {
        auto& from = uart_out_.octets;
        const std::size_t count = std::min(limit, from.size());
        std::copy_n(from.begin(), count, octets);
        from.erase(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(count));
        return count;
    }
    std::uint64_t serial_waiting() const { return uart_out_.octets.size(); }
    std::uint64_t serial_pending() const { return uart_in_.pending(); }
    void serial_discard_pending() { uart_in_.clear(); }
    std::uint64_t serial_framing_errors() const { return uart_out_.framing_errors; }
    std::uint64_t tx_faults() const { return tx_faults_; }

    std::uint64_t log(unsigned kind, const void** data) const {
        switch (kind) {
            case STARTS: return view(starts_, data);
            case GAPS: return view(gaps_, data);
            case TOPS: return view(tops_, data);
            case VERDICTS: return view(verdicts_, data);
            case FRAMES: return view(frames_, data);
            case OCTETS: return view(octets_, data);
            default: return 0;
        }
    }
#ifdef PROBES
    // Keeps what is on rx from now on, so that it can be played again.
    void record() {
        recording_ = true;
        recorded_from_ = cycle_;
        inputs_.clear();
        snapshots_.clear();
    }
    // Keeps the state of everything; returns the number to come back to it by.
    std::uint64_t keep() {
        const auto* root = reinterpret_cast<const std::uint8_t*>(dut_->rootp);
        snapshots_.push_back({{root, root + sizeof(*dut_->rootp)},
                              cycle_,
                              tx_hold_,
                              first_cycle_,
                              in_frame_,
                              frame_});
        return snapshots_.size() - 1;
    }
    void back_to(std::uint64_t number) {
        recording_ = false;
        const auto& kept = snapshots_.at(number);
        std::memcpy(static_cast<void*>(dut_->rootp), kept.root.data(), kept.root.size());
        cycle_ = kept.cycle;
        tx_hold_ = kept.tx_hold;
        first_cycle_ = kept.first_cycle;
        in_frame_ = kept.in_frame;
        frame_ = kept.frame;
        forget();
    }
    // Runs with what was on rx in these cycles, then with nothing there.
    void play(std::uint64_t cycles) {
        while (cycles--) {
            const std::uint64_t at = cycle_ - recorded_from_;
            const Input input = at < inputs_.size() ? inputs_[at] : Input{};
            dut_->rx_valid = input.valid;
            dut_->rx_data = input.data;
            dut_->rx_count = input.count;
            dut_->rx_first = input.first;
            dut_->rx_last = input.last;
            step();
        }
        idle_rx();
    }
    // Takes effect at the beginning of the cycle to come, as if it were just after the clock edge.
    void flip(const Probe& probe, std::uint64_t word, std::uint64_t bit) {
        at(probe, word)[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
        Vcard___024root___eval_settle(dut_->rootp);
    }
    std::uint64_t look(const Probe& probe, std::uint64_t word) {
        std::uint64_t value = 0;
        std::memcpy(&value, at(probe, word), std::min<std::size_t>(8, probe.word_octets));
        return value;
    }
#endif
    void forget() {
        starts_.clear();
        gaps_.clear();
        tops_.clear();
        verdicts_.clear();
        frames_.clear();
        octets_.clear();
    }

private:
    template <typename T>
    static std::uint64_t view(const std::vector<T>& of, const void** data) {
        *data = of.data();
        return of.size();
    }

    void idle_rx() {
        dut_->rx_valid = 0;
        dut_->rx_first = 0;
        dut_->rx_last = 0;
    }

#ifdef PROBES
    std::uint8_t* at(const Probe& probe, std::uint64_t word) {
        return reinterpret_cast<std::uint8_t*>(dut_->rootp) + probe.at + word * probe.word_octets;
    }
#endif

    void step() {
#ifdef PROBES
        if (recording_)
            inputs_.push_back({dut_->rx_data, dut_->rx_valid, dut_->rx_count, dut_->rx_first,
                               dut_->rx_last});
#endif
        uart_in_.offer(*dut_);
        dut_->tx_ready = tx_hold_ == 0;
        dut_->eval();
        trace(2 * cycle_);
        observe();
        dut_->clk = 1;
        dut_->eval();
        trace(2 * cycle_ + 1);
        dut_->clk = 0;
        ++cycle_;
    }

    void trace(std::uint64_t time) {
#if VM_TRACE_VCD
        if (trace_) trace_->dump(time);
#else
        (void)time;
#endif
    }

    void observe() {
        uart_in_.advance(*dut_);
        uart_out_.observe(*dut_);
        if (dut_->gap) gaps_.push_back(cycle_);
        if (dut_->top_valid) {
            TopRecord record{};
            record.cycle = cycle_;
#define TAKE(type, name) record.name = dut_->top_##name;
            TOP_FIELDS(TAKE)
#undef TAKE
            tops_.push_back(record);
        }
        if (dut_->verdict_valid) {
            VerdictRecord record{};
            record.cycle = cycle_;
#define TAKE(type, name) record.name = dut_->verdict_##name;
            VERDICT_FIELDS(TAKE)
#undef TAKE
            verdicts_.push_back(record);
        }
        if (tx_hold_)
            --tx_hold_;
        else if (dut_->tx_valid)
            transmit();
        else if (in_frame_)
            ++tx_faults_;
    }

    void transmit() {
        const unsigned octets = dut_->tx_count;
        const bool first = dut_->tx_first, last = dut_->tx_last;
        if (first == in_frame_ || octets == 0 || octets > WIDTH || (octets < WIDTH && !last))
            ++tx_faults_;
        if (first) {
            frame_.clear();
            first_cycle_ = cycle_;
        }
        const std::uint64_t word = dut_->tx_data;
        const auto* from = reinterpret_cast<const std::uint8_t*>(&word);
        frame_.insert(frame_.end(), from, from + std::min(octets, WIDTH));
        in_frame_ = !last;
        if (last) {
            frames_.push_back({first_cycle_, cycle_, frame_.size()});
            octets_.insert(octets_.end(), frame_.begin(), frame_.end());
            // The unused octets of the last word are already part of the gap on the wire.
            const std::uint64_t unused = WIDTH - std::min(octets, WIDTH);
            tx_hold_ = tx_gap_ > unused ? (tx_gap_ - unused + WIDTH - 1) / WIDTH : 0;
        }
    }

    std::unique_ptr<VerilatedContext> context_;
    std::unique_ptr<Vcard> dut_;
#if VM_TRACE_VCD
    std::unique_ptr<VerilatedVcdC> trace_;
#endif
    std::uint64_t cycle_ = 0;
    OctetSender uart_in_;
    OctetReceiver uart_out_;

    std::uint64_t tx_gap_;
    std::uint64_t tx_hold_ = 0;
    std::uint64_t tx_faults_ = 0;
    std::uint64_t first_cycle_ = 0;
    bool in_frame_ = false;
    std::vector<std::uint8_t> frame_;

#ifdef PROBES
    struct Snapshot {
        std::vector<std::uint8_t> root;
        std::uint64_t cycle, tx_hold, first_cycle;
        bool in_frame;
        std::vector<std::uint8_t> frame;
    };
    bool recording_ = false;
    std::uint64_t recorded_from_ = 0;
    std::vector<Input> inputs_;
    std::vector<Snapshot> snapshots_;
#endif

    std::vector<std::uint64_t> starts_, gaps_;
    std::vector<TopRecord> tops_;
    std::vector<VerdictRecord> verdicts_;
    std::vector<FrameRecord> frames_;
    std::vector<std::uint8_t> octets_;
};

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT Card* card_new(std::uint64_t tx_gap, std::uint64_t direct, std::uint64_t memory_seed,
                      const char* trace_path) {
    return new Card(tx_gap, direct, memory_seed, trace_path);
}
EXPORT void card_delete(Card* card) { delete card; }
EXPORT std::uint64_t card_cycle(const Card* card) { return card->cycle(); }
EXPORT void card_reset(Card* card, std::uint64_t cycles) { card->reset(cycles); }
EXPORT void card_run(Card* card, std::uint64_t cycles) { card->run(cycles); }
EXPORT void card_send(Card* card, const std::uint8_t* frames, const std::uint32_t* lengths,
                      const std::uint32_t* gaps, std::uint64_t count) {
    card->send(frames, lengths, gaps, count);
}
EXPORT std::uint64_t card_log(const Card* card, unsigned kind, const void** data) {
    return card->log(kind, data);
}
EXPORT std::uint64_t card_record_size(unsigned kind) {
    static const std::uint64_t sizes[KINDS] = {
        sizeof(std::uint64_t), sizeof(std::uint64_t), sizeof(TopRecord),
        sizeof(VerdictRecord), sizeof(FrameRecord),   sizeof(std::uint8_t),
    };
    return kind < KINDS ? sizes[kind] : 0;
}
EXPORT void card_forget(Card* card) { card->forget(); }
EXPORT std::uint64_t card_tx_faults(const Card* card) { return card->tx_faults(); }
EXPORT void card_serial_write(Card* card, const std::uint8_t* octets, std::uint64_t count) {
    card->serial_write(octets, count);
}
EXPORT std::uint64_t card_serial_read(Card* card, std::uint8_t* octets, std::uint64_t limit) {
    return card->serial_read(octets, limit);
}
EXPORT std::uint64_t card_serial_wait(Card* card, std::uint64_t wanted, std::uint64_t cycles) {
    return card->serial_wait(wanted, cycles);
}
EXPORT std::uint64_t card_serial_flush(Card* card, std::uint64_t cycles) {
    return card->serial_flush(cycles);
}
EXPORT std::uint64_t card_serial_waiting(const Card* card) { return card->serial_waiting(); }
EXPORT std::uint64_t card_serial_pending(const Card* card) { return card->serial_pending(); }
EXPORT void card_serial_discard_pending(Card* card) { card->serial_discard_pending(); }
EXPORT std::uint64_t card_serial_framing_errors(const Card* card) {
    return card->serial_framing_errors();
}
#ifdef PROBES
EXPORT std::uint64_t card_probes() { return probes().size(); }
EXPORT const char* card_probe(std::uint64_t number, std::uint64_t* width, std::uint64_t* depth) {
    const Probe& probe = probes().at(number);
    *width = probe.width;
    *depth = probe.depth;
    return probe.name;
}
EXPORT void card_record(Card* card) { card->record(); }
EXPORT std::uint64_t card_keep(Card* card) { return card->keep(); }
EXPORT void card_back_to(Card* card, std::uint64_t number) { card->back_to(number); }
EXPORT void card_play(Card* card, std::uint64_t cycles) { card->play(cycles); }
EXPORT void card_flip(Card* card, std::uint64_t number, std::uint64_t word, std::uint64_t bit) {
    card->flip(probes().at(number), word, bit);
}
EXPORT std::uint64_t card_look(Card* card, std::uint64_t number, std::uint64_t word) {
    return card->look(probes().at(number), word);
}
#endif
