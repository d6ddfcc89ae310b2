#include "core/base/digest.h"

#include <isa-l/crc.h>
#include <xxhash.h>

#include <algorithm>
#include <new>

namespace baleen {
namespace {

std::string to_hex(const XXH128_hash_t& hash) {
  XXH128_canonical_t canonical;  // big-endian, the order that people print
  XXH128_canonicalFromHash(&canonical, hash);
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * sizeof(canonical.digest));
  for (const unsigned char byte : canonical.digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

}  // namespace

uint32_t crc32c(const void* data, size_t num_bytes, uint32_t previous) {
  // isa-l works on the bare register, without the inversions at both ends, takes an int as length,
  // and only reads through its pointer although that isn't const.
  auto* bytes = static_cast<unsigned char*>(const_cast<void*>(data));
  constexpr size_t kLargestPiece = size_t{1} << 30;
  uint32_t crc = ~previous;
  while (num_bytes > 0) {
    const size_t piece = std::min(num_bytes, kLargestPiece);
    crc = crc32_iscsi(bytes, static_cast<int>(piece), crc);
    bytes += piece;
    num_bytes -= piece;
  }
  return ~crc;
}

struct Digest::State {
  State() : xxh(XXH3_createState()) {
    if (!xxh) throw std::bad_alloc();
    XXH3_128bits_reset(xxh);
  }
  ~State() { XXH3_freeState(xxh); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  XXH3_state_t* xxh;
};

Digest::Digest() : state_(std::make_unique<State>()) {}
Digest::~Digest() = default;
Digest::Digest(Digest&&) noexcept = default;
Digest& Digest::operator=(Digest&&) noexcept = default;

Digest& Digest::update(const void* data, size_t num_bytes) {
  if (num_bytes > 0) XXH3_128bits_update(state_->xxh, data, num_bytes);
  return *this;
}

std::string Digest::hex() const { return to_hex(XXH3_128bits_digest(state_->xxh)); }

std::string digest_hex(const void* data, size_t num_bytes) {
  return to_hex(XXH3_128bits(data, num_bytes));
}

}  // namespace baleen
