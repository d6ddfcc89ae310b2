// What hostile files cost: no stack for nesting, no memory beyond the file's own size. Counts every
// byte that operator new hands out in this program.
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <string>

#include "core/base/error.h"
#include "core/weights/safetensors.h"
#include "tests/support/temporary_directory.h"

namespace {

std::atomic<size_t> live_bytes{0};
std::atomic<size_t> peak_bytes{0};

void* counted(size_t size) {
  void* memory = std::malloc(size);
  if (!memory) throw std::bad_alloc();
  const size_t live = live_bytes += malloc_usable_size(memory);
  size_t peak = peak_bytes;
  while (live > peak && !peak_bytes.compare_exchange_weak(peak, live)) {
  }
  return memory;
}

void uncounted(void* memory) {
  if (memory) live_bytes -= malloc_usable_size(memory);
  std::free(memory);
}

}  // namespace

void* operator new(size_t size) { return counted(size); }
void* operator new[](size_t size) { return counted(size); }
void operator delete(void* memory) noexcept { uncounted(memory); }
void operator delete[](void* memory) noexcept { uncounted(memory); }
void operator delete(void* memory, size_t) noexcept { uncounted(memory); }
void operator delete[](void* memory, size_t) noexcept { uncounted(memory); }

namespace baleen {
namespace {

constexpr size_t kMegabyte = size_t{1} << 20;
/// For messages, file handles and the like.
constexpr size_t kSlack = 64 << 10;

std::string repeated(const std::string& text, size_t bytes) {
  std::string all;
  while (all.size() + text.size() <= bytes) all += text;
  return all;
}

class SafetensorsLimitsTest : public ::testing::Test {
 protected:
  std::filesystem::path path() const { return directory_ / "x.safetensors"; }

  /// @returns bytes of the file
  size_t write(const std::string& header, size_t data_bytes = 0) const {
    const uint64_t length = header.size();
    std::ofstream out(path(), std::ios::binary);
    out.write(reinterpret_cast<const char*>(&length), sizeof length);
    out << header << std::string(data_bytes, '\1');
    return sizeof length + header.size() + data_bytes;
  }

  /// Most bytes that were alive at once while the file was opened.
  size_t peak_while(bool accepted) const {
    const std::string name = path().string();
    const size_t before = live_bytes;
    peak_bytes = before;
    try {
      const SafetensorsFile file(name);
      EXPECT_TRUE(accepted) << "a malformed file was read";
    } catch (const Error& error) {
      EXPECT_FALSE(accepted) << error.what();
      EXPECT_EQ(error.kind(), ErrorKind::kData);
      EXPECT_LT(error.message().size(), 2000u) << "a message as long as the file";
    }
    return peak_bytes - before;
  }

  testing::TemporaryDirectory directory_;
};

TEST_F(SafetensorsLimitsTest, TheCountersCount) {
  const size_t before = live_bytes;
  const std::string large(kMegabyte, 'x');
  EXPECT_GE(live_bytes - before, kMegabyte);
}

TEST_F(SafetensorsLimitsTest, RefusedFilesTakeNoMemoryBeyondTheirSize) {
  const std::string entry = R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  const std::string item = R"("a":)" + entry + ",";
  const std::pair<const char*, std::string> headers[] = {
      {"lists in lists", std::string(8 * kMegabyte, '[')},
      {"objects in objects", repeated(R"({"a":)", 8 * kMegabyte)},
      {"lists in a shape", R"({"a":{"dtype":"F32","shape":)" + std::string(8 * kMegabyte, '[')},
      {"objects in metadata", R"({"__metadata__":)" + repeated(R"({"a":)", 8 * kMegabyte)},
      {"a shape without end", R"({"a":{"dtype":"F32","shape":[)" + repeated("0,", 8 * kMegabyte)},
      {"offsets without end", R"({"a":{"data_offsets":[)" + repeated("0,", 8 * kMegabyte)},
      {"a name without end", R"({")" + std::string(8 * kMegabyte, 'a')},
      {"a name", R"({")" + std::string(8 * kMegabyte, 'a') + R"(":)" + entry + "}"},
      {"a name of escapes", R"({")" + repeated("\\u0041", 8 * kMegabyte) + R"(":)" + entry + "}"},
      {"a dtype", R"({"a":{"dtype":")" + std::string(8 * kMegabyte, 'F') + R"("}})"},
      {"a field", R"({"a":{")" + std::string(8 * kMegabyte, 'F') + R"(":1}})"},
      {"a number", R"({"a":{"data_offsets":[)" + std::string(8 * kMegabyte, '9') + "]}}"},
      {"a number of zeros", R"({"a":{"data_offsets":[)" + std::string(8 * kMegabyte, '0') + "]}}"},
      {"metadata that ends badly",
       R"({"__metadata__":{)" + repeated(R"("k":"v",)", 8 * kMegabyte) + "}}"},
      {"entries that end badly", "{" + repeated(item, 8 * kMegabyte) + "}"},
      {"blanks", std::string(8 * kMegabyte, ' ')},
      {"not text", std::string(8 * kMegabyte, '\xff')},
  };
  for (const auto& [what, header] : headers) {
    SCOPED_TRACE(what);
    const size_t size = write(header);
    EXPECT_LE(peak_while(false), kSlack) << "of a file of " << size << " bytes";
  }
}

TEST_F(SafetensorsLimitsTest, ClaimedSizesAreNotAllocated) {
  const auto claim = [&](const std::string& shape, const std::string& offsets) {
    write(R"({"a":{"dtype":"F64","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}", 8);
    EXPECT_LE(peak_while(false), kSlack) << shape << ' ' << offsets;
  };
  claim("[1125899906842624]", "[0,9007199254740992]");
  claim("[9223372036854775807]", "[0,8]");
  claim("[4294967296,4294967296]", "[0,0]");
  claim("[18446744073709551616]", "[0,8]");
  claim("[1]", "[18446744073709551608,18446744073709551615]");
  claim("[1]", "[18446744073709551615,7]");
  std::ofstream(path(), std::ios::binary) << std::string("\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10);
  EXPECT_LE(peak_while(false), kSlack);
}

TEST_F(SafetensorsLimitsTest, WhatIsReadTakesAFewTimesItsHeader) {
  // The worst there is: very many tensors that have no bytes at all.
  std::string header = "{";
  for (int i = 0; i < 100000; ++i) {
    header += (i > 0 ? ",\"" : "\"") + std::to_string(i) +
              R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  }
  const size_t size = write(header + "}");
  const size_t peak = peak_while(true);
  std::printf("[  PEAK    ] %zu bytes for a header of %zu\n", peak, size);
  EXPECT_LE(peak, 3 * size + kSlack);

  // As a file of weights is: 1 MB of header, 100 MB of data would be usual; here 1 kB and 8 MB.
  const size_t usual =
      write(R"({"a":{"dtype":"U8","shape":[8388608],"data_offsets":[0,8388608]}})", 8 * kMegabyte);
  EXPECT_LE(peak_while(true), kSlack) << "of a file of " << usual << " bytes";

  const size_t text = write(R"({"__metadata__":{"k":")" + std::string(kMegabyte, 'v') + R"("}})");
  EXPECT_LE(peak_while(true), text + kSlack);
}

}  // namespace
}  // namespace baleen
