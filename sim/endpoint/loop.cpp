// The loop that clocks a Verilated end of the order session: frames, commands and orders in; frames
// and what was received out. An order is built here, in the cycle in which it may go, as the card's
// encoder would: its numbers are those of that cycle.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "Vcard.h"
#include "ports.h"
#include "verilated.h"

namespace {

using Octets = std::vector<std::uint8_t>;

constexpr std::size_t TCP_AT = 34, PAYLOAD_AT = 54;
constexpr std::uint64_t QUIET = 48;

std::uint32_t fcs(const Octets& octets) {
    std::uint32_t crc = ~0u;
    for (std::uint8_t octet : octets) {
        crc ^= octet;
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

std::uint16_t checksum(const std::uint8_t* octets, std::size_t count, std::uint32_t sum) {
    for (std::size_t n = 0; n < count; ++n) sum += n % 2 ? octets[n] : octets[n] << 8;
    while (sum >> 16) sum = (sum & 0xFFFF) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

void put(Octets& octets, std::size_t at, std::uint64_t value, int size) {
    for (int n = 0; n < size; ++n)
        octets[at + n] = static_cast<std::uint8_t>(value >> 8 * (size - 1 - n));
}

struct FrameRecord {
    std::uint64_t cycle;
    std::uint64_t length;
    std::uint64_t order;
};

struct ReportRecord {
    std::uint64_t cycle;
#define X(type, name) type name;
    REPORT(X)
#undef X
};

enum Kind : unsigned { FRAMES, OCTETS, REPORTS, STARTS, KINDS };

class Endpoint {
public:
    explicit Endpoint(std::uint64_t seed) {
        context_ = std::make_unique<VerilatedContext>();
        if (seed) {
            context_->randReset(2);
            context_->randSeed(static_cast<int>(seed));
        }
        dut_ = std::make_unique<Vcard>(context_.get());
        // Inputs are no memories.
#define X(n, name) dut_->name = 0;
        CONFIG(X)
        COMMANDS(X)
#undef X
        dut_->order = 0;
        dut_->clk = 0;
        dut_->rst = 1;
        for (int n = 0; n < 4; ++n) step();
        dut_->rst = 0;
        for (int n = 0; n < 4; ++n) step();
    }
    ~Endpoint() { dut_->final(); }

    void set(unsigned field, std::uint64_t value) {
        switch (field) {
#define X(n, name) case n: dut_->name = value; break;
            CONFIG(X)
#undef X
        }
    }
    std::uint64_t get(unsigned field) const {
        switch (field) {
#define X(n, name) case n: return dut_->name;
            STATUS(X)
#undef X
        }
        return 0;
    }
    void command(unsigned which) {
        switch (which) {
#define X(n, name) case n: dut_->name = 1; break;
            COMMANDS(X)
#undef X
        }
        step();
#define X(n, name) dut_->name = 0;
        COMMANDS(X)
#undef X
    }
    void receive(const std::uint8_t* frame, std::size_t length, std::uint64_t gap) {
        rx_.push_back({Octets(frame, frame + length), gap});
    }
    void host(const std::uint8_t* octets, std::size_t length) {
        for (std::size_t n = 0; n < length; ++n) host_.push_back({octets[n], n + 1 == length});
    }
    // Whole packets, sent together.
    void cancels(const std::uint8_t* octets, std::size_t length) {
        for (std::size_t n = 0; n < length; ++n) cancels_.push_back({octets[n], n + 1 == length});
    }
    // Lets an order go as soon as it may; false if that does not come within `cycles`.
    bool order(const std::uint8_t* payload, std::size_t length, std::uint64_t cycles) {
        if (!order_.empty()) return false;
        dut_->eval();
        while (!dut_->may_order) {
            if (!cycles--) return false;
            step();
            dut_->eval();
        }
        build_order(payload, length);
        dut_->order = 1;
        dut_->order_size = length;
        step();
        dut_->order = 0;
        return true;
    }
    void run(std::uint64_t cycles) {
        while (cycles--) step();
    }
    // Runs until nothing has happened for a while.
    bool settle(std::uint64_t limit) {
        quiet_ = 0;
        while (quiet_ < QUIET) {
            if (!limit--) return false;
            step();
        }
        return true;
    }
    std::uint64_t cycle() const { return cycle_; }
    std::uint64_t faults() const { return faults_; }
    void stall(std::uint64_t one_in) { stall_ = one_in; }
    const std::uint64_t* counters() const { return counters_.data(); }
    std::uint64_t log(unsigned kind, const void** data) const {
        switch (kind) {
            case FRAMES: *data = frames_.data(); return frames_.size();
            case OCTETS: *data = octets_.data(); return octets_.size();
            case REPORTS: *data = reports_.data(); return reports_.size();
            case STARTS: *data = starts_.data(); return starts_.size();
            default: return 0;
        }
    }
    void forget() {
        frames_.clear();
        octets_.clear();
        reports_.clear();
        starts_.clear();
    }

private:
    struct Arrival {
        Octets octets;
        std::uint64_t gap;
        std::size_t at = 0;
    };

    void build_order(const std::uint8_t* payload, std::size_t length) {
        order_.assign(PAYLOAD_AT + length, 0);
        put(order_, 0, dut_->endpoints_gateway_mac, 6);
        put(order_, 6, dut_->endpoints_local_mac, 6);
        put(order_, 12, 0x0800, 2);
        put(order_, 14, 0x4500, 2);
        put(order_, 16, 40 + length, 2);
        put(order_, 20, 0x4000, 2);
        put(order_, 22, 64 << 8 | 6, 2);
        put(order_, 26, dut_->endpoints_local_ip, 4);
        put(order_, 30, dut_->endpoints_remote_ip, 4);
        put(order_, 24, checksum(&order_[14], 20, 0), 2);
        put(order_, 34, dut_->endpoints_local_port, 2);
        put(order_, 36, dut_->endpoints_remote_port, 2);
        put(order_, 38, dut_->sequence, 4);
        put(order_, 42, dut_->acknowledgement, 4);
        put(order_, 46, 0x5018, 2);
        put(order_, 48, WINDOW, 2);
        std::copy_n(payload, length, order_.begin() + PAYLOAD_AT);
        std::uint32_t pseudo = 6 + 20 + static_cast<std::uint32_t>(length);
        for (std::size_t at = 26; at < TCP_AT; at += 2) pseudo += order_[at] << 8 | order_[at + 1];
        put(order_, 50, checksum(&order_[TCP_AT], 20 + length, pseudo), 2);
        if (order_.size() < 60) order_.resize(60, 0);
        const std::uint32_t crc = fcs(order_);
        for (int n = 0; n < 4; ++n) order_.push_back(static_cast<std::uint8_t>(crc >> 8 * n));
        order_at_ = 0;
    }

    void drive() {
        dut_->rx_valid = 0;
        if (!rx_.empty()) {
            Arrival& arrival = rx_.front();
            if (arrival.gap) {
                --arrival.gap;
            } else {
                const std::size_t left = arrival.octets.size() - arrival.at;
                const unsigned count = static_cast<unsigned>(std::min<std::size_t>(WIDTH, left));
                std::uint64_t word = 0;
                std::memcpy(&word, &arrival.octets[arrival.at], count);
                dut_->rx_valid = 1;
                dut_->rx_data = word;
                dut_->rx_count = count;
                dut_->rx_first = arrival.at == 0;
                if (arrival.at == 0) starts_.push_back(cycle_);
                dut_->rx_last = left <= WIDTH;
                arrival.at += count;
                if (arrival.at == arrival.octets.size()) rx_.pop_front();
            }
            quiet_ = 0;
        }
        dut_->host_valid = !host_.empty();
        if (!host_.empty()) {
            dut_->host_data = host_.front().first;
            dut_->host_last = host_.front().second;
        }
        dut_->cancels_valid = !cancels_.empty();
        if (!cancels_.empty()) {
            dut_->cancels_data = cancels_.front().first;
            dut_->cancels_last = cancels_.front().second;
        }
        dut_->orders_valid = !order_.empty();
        if (!order_.empty()) {
            const std::size_t left = order_.size() - order_at_;
            const unsigned count = static_cast<unsigned>(std::min<std::size_t>(WIDTH, left));
            std::uint64_t word = 0;
            std::memcpy(&word, &order_[order_at_], count);
            dut_->orders_data = word;
            dut_->orders_count = count;
            dut_->orders_first = order_at_ == 0;
            dut_->orders_last = left <= WIDTH;
        }
        random_ = random_ * 6364136223846793005ull + 1442695040888963407ull;
        dut_->tx_ready = !stall_ || (random_ >> 40) % stall_ != 0;
    }

    void step() {
        drive();
        dut_->eval();
        observe();
        dut_->clk = 1;
        dut_->eval();
        dut_->clk = 0;
        ++cycle_;
    }

    void observe() {
        ++quiet_;
        if (dut_->rst) return;
#define X(n, name) counters_[n] += dut_->name;
        COUNTERS(X)
#undef X
        if (dut_->holds || dut_->tx_valid || !order_.empty()) quiet_ = 0;
        if (dut_->host_valid && dut_->host_ready) {
            host_.pop_front();
            quiet_ = 0;
        }
        if (dut_->cancels_valid && dut_->cancels_ready) {
            cancels_.pop_front();
            quiet_ = 0;
        }
        const bool ordering = dut_->orders_valid && dut_->orders_ready;
        if (dut_->busy) quiet_ = 0;
        if (dut_->reports_valid) {
            // What an order manager relies on.
            if (dut_->reports_user_ref_num != coming_ || dut_->reports_sequence != sequence_ ||
                cycle_ < next_report_)
                ++faults_;
            next_report_ = cycle_ + REPORT_SPACING;
            ReportRecord record{};
            record.cycle = cycle_;
#define X(type, name) record.name = dut_->reports_##name;
            REPORT(X)
#undef X
            reports_.push_back(record);
            quiet_ = 0;
        }
        coming_ = dut_->coming;
        sequence_ = dut_->reports_sequence;
        if (dut_->tx_valid && dut_->tx_ready) transmit(ordering);
        if (ordering) {
            order_at_ += dut_->orders_count;
            if (dut_->orders_last) order_.clear();
        }
    }

    void transmit(bool ordering) {
        const unsigned count = dut_->tx_count;
        const bool first = dut_->tx_first, last = dut_->tx_last;
        if (first == in_frame_ || count == 0 || count > WIDTH || (count < WIDTH && !last))
            ++faults_;
        if (first) {
            frame_.clear();
            first_cycle_ = cycle_;
        }
        const std::uint64_t word = dut_->tx_data;
        const auto* from = reinterpret_cast<const std::uint8_t*>(&word);
        frame_.insert(frame_.end(), from, from + std::min(count, WIDTH));
        in_frame_ = !last;
        if (last) {
            frames_.push_back({first_cycle_, frame_.size(), ordering});
            octets_.insert(octets_.end(), frame_.begin(), frame_.end());
        }
    }

    std::unique_ptr<VerilatedContext> context_;
    std::unique_ptr<Vcard> dut_;
    std::uint64_t cycle_ = 0, quiet_ = 0, faults_ = 0, first_cycle_ = 0;
    std::uint64_t stall_ = 0, random_ = 1, coming_ = 0, sequence_ = 0, next_report_ = 0;
    std::array<std::uint64_t, COUNTER_COUNT> counters_{};
    std::deque<Arrival> rx_;
    std::deque<std::pair<std::uint8_t, bool>> host_, cancels_;
    Octets order_, frame_;
    std::size_t order_at_ = 0;
    bool in_frame_ = false;
    std::vector<FrameRecord> frames_;
    std::vector<ReportRecord> reports_;
    std::vector<std::uint64_t> starts_;
    Octets octets_;
};

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT Endpoint* endpoint_new(std::uint64_t seed) { return new Endpoint(seed); }
EXPORT void endpoint_delete(Endpoint* it) { delete it; }
EXPORT void endpoint_set(Endpoint* it, unsigned field, std::uint64_t value) {
    it->set(field, value);
}
EXPORT std::uint64_t endpoint_get(const Endpoint* it, unsigned field) { return it->get(field); }
EXPORT void endpoint_command(Endpoint* it, unsigned which) { it->command(which); }
EXPORT void endpoint_receive(Endpoint* it, const std::uint8_t* frame, std::uint64_t length,
                             std::uint64_t gap) {
    it->receive(frame, length, gap);
}
EXPORT void endpoint_host(Endpoint* it, const std::uint8_t* octets, std::uint64_t length) {
    it->host(octets, length);
}
EXPORT void endpoint_cancels(Endpoint* it, const std::uint8_t* octets, std::uint64_t length) {
    it->cancels(octets, length);
}
EXPORT bool endpoint_order(Endpoint* it, const std::uint8_t* payload, std::uint64_t length,
                           std::uint64_t cycles) {
    return it->order(payload, length, cycles);
}
EXPORT void endpoint_run(Endpoint* it, std::uint64_t cycles) { it->run(cycles); }
EXPORT bool endpoint_settle(Endpoint* it, std::uint64_t limit) { return it->settle(limit); }
EXPORT void endpoint_stall(Endpoint* it, std::uint64_t one_in) { it->stall(one_in); }
EXPORT std::uint64_t endpoint_cycle(const Endpoint* it) { return it->cycle(); }
EXPORT std::uint64_t endpoint_faults(const Endpoint* it) { return it->faults(); }
EXPORT const std::uint64_t* endpoint_counters(const Endpoint* it) { return it->counters(); }
EXPORT std::uint64_t endpoint_log(const Endpoint* it, unsigned kind, const void** data) {
    return it->log(kind, data);
}
EXPORT void endpoint_forget(Endpoint* it) { it->forget(); }
