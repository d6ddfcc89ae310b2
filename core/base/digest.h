#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace baleen {

/// CRC32C (Castagnoli, RFC 3720 appendix B.4): reflected polynomial 0x82F63B78, register starts as
/// 0xFFFFFFFF, result inverted. "123456789" gives 0xE3069283. Detects any burst error of up to 32
/// bits; not a defence against tampering.
/// @param previous the checksum of the bytes before these, to go on with it; 0 for the first
uint32_t crc32c(const void* data, size_t num_bytes, uint32_t previous = 0);

inline uint32_t crc32c(std::string_view bytes, uint32_t previous = 0) {
  return crc32c(bytes.data(), bytes.size(), previous);
}

/// The 128-bit XXH3 digest (seed 0) of bytes that arrive in pieces, as `xxhsum -H2` prints it.
///
/// Names content: equal digests mean equal bytes for all purposes but an attacker's.
class Digest {
 public:
  Digest();
  ~Digest();
  Digest(Digest&&) noexcept;
  Digest& operator=(Digest&&) noexcept;

  Digest& update(const void* data, size_t num_bytes);
  Digest& update(std::string_view bytes) { return update(bytes.data(), bytes.size()); }
  Digest& update(std::span<const uint8_t> bytes) { return update(bytes.data(), bytes.size()); }

  /// 32 lower-case hexadecimal digits for the bytes so far; more may follow.
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Digest of one piece: 32 lower-case hexadecimal digits.
std::string digest_hex(const void* data, size_t num_bytes);

inline std::string digest_hex(std::string_view bytes) {
  return digest_hex(bytes.data(), bytes.size());
}

}  // namespace baleen
