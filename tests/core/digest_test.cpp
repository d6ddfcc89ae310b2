#include "core/base/digest.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace baleen {
namespace {

// RFC 3720, appendix B.4, prints these as little-endian bytes.
TEST(Crc32cTest, MatchesTheStandardVectors) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  std::string ascending;
  for (int i = 0; i < 32; ++i) ascending += static_cast<char>(i);
  EXPECT_EQ(crc32c(ascending), 0x46DD794Eu);
  EXPECT_EQ(crc32c(""), 0u);
}

TEST(Crc32cTest, GoesOnFromAnEarlierPieceAtAnyCut) {
  std::string bytes;
  for (int i = 0; i < 1000; ++i) bytes += static_cast<char>(i * 7 + i / 13);
  const uint32_t whole = crc32c(bytes);
  for (size_t cut = 0; cut <= bytes.size(); cut += 37) {
    EXPECT_EQ(crc32c(bytes.substr(cut), crc32c(bytes.substr(0, cut))), whole) << "cut at " << cut;
  }
}

TEST(Crc32cTest, NoticesEverySingleFlippedBit) {
  std::string bytes(257, 'x');
  const uint32_t right = crc32c(bytes);
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_NE(crc32c(bytes), right) << "bit " << bit;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
  }
}

TEST(DigestTest, MatchesThePublishedDigestOfNothing) {
  EXPECT_EQ(digest_hex(""), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(Digest().hex(), "99aa06d3014798d86001c324468d497f");
}

TEST(DigestTest, MatchesXxhsum) {
  EXPECT_EQ(digest_hex("abc"), "06b05ab6733a618578af5f94892f3950");
}

TEST(DigestTest, DoesNotDependOnHowTheBytesArrive) {
  std::string bytes;
  for (int i = 0; i < 100'000; ++i) bytes += static_cast<char>(i * 31 + i / 101);
  Digest digest;
  for (size_t at = 0, step = 1; at < bytes.size(); at += step, step = step * 2 + 1) {
    step = std::min(step, bytes.size() - at);
    digest.update(std::string_view(bytes).substr(at, step));
  }
  EXPECT_EQ(digest.hex(), digest_hex(bytes));
  EXPECT_NE(digest.update("x").hex(), digest_hex(bytes));
}

}  // namespace
}  // namespace baleen
