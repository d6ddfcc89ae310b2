#include "core/weights/safetensors.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <map>

#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "tests/parity/oracle.h"
#include "tests/support/temporary_directory.h"

namespace baleen {
namespace {

class SafetensorsTest : public ::testing::Test {
 protected:
  std::filesystem::path path() const { return directory_ / "x.safetensors"; }
  void write(const std::string& bytes) const {
    std::ofstream(path(), std::ios::binary)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  void write_header(const std::string& header, size_t data_bytes) const {
    const uint64_t length = header.size();
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &length, 8);
    write(bytes + header + std::string(data_bytes, '\1'));
  }
  void expect_refusal(const std::string& part) const {
    try {
      const SafetensorsFile file(path());
      ADD_FAILURE() << "accepted; expected: " << part;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kData) << error.what();
      EXPECT_NE(error.message().find(part), std::string::npos) << error.message();
      EXPECT_NE(error.message().find("x.safetensors"), std::string::npos) << error.message();
    }
  }
  testing::TemporaryDirectory directory_;
};

NamedTensors samples() {
  at::manual_seed(1);
  return {{"byte", at::randint(255, {3}, at::kByte)},
          {"half", at::randn({2, 3}).to(at::kHalf)},
          {"double", at::randn({2, 2}, at::kDouble)},
          {"bfloat", at::randn({5}).to(at::kBFloat16)},
          {"float.last", at::randn({2, 3, 4, 4}).contiguous(at::MemoryFormat::ChannelsLast)},
          {"long", at::randint(1000, {4}, at::kLong)},
          {"bool", at::rand({7}).gt(0.5)},
          {"scalar", at::scalar_tensor(3.5, at::kFloat)},
          {"empty", at::zeros({0, 5})},
          {"transposed", at::randn({3, 4}).t()},
          {"int \"quoted\" \u00e9", at::arange(3, at::kInt)}};
}

TEST_F(SafetensorsTest, WhatIsWrittenIsRead) {
  write_safetensors(path(), samples(), {{"format", "pt"}, {"note", "a\nb"}});
  const SafetensorsFile file(path());
  EXPECT_EQ(file.entries().size(), samples().size());
  EXPECT_EQ(file.metadata().at("note"), "a\nb");
  for (const auto& [name, expected] : samples()) {
    const at::Tensor actual = file.tensor(name);
    EXPECT_EQ(actual.scalar_type(), expected.scalar_type()) << name;
    EXPECT_TRUE(at::equal(actual, expected)) << name;
    EXPECT_TRUE(actual.is_contiguous()) << name;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(actual.const_data_ptr()) % actual.element_size(), 0u)
        << name;
  }
  EXPECT_THROW(file.tensor("nothing"), Error);
}

TEST_F(SafetensorsTest, TensorsOutliveTheFileObjectAndWritesStayPrivate) {
  write_safetensors(path(), {{"x", at::arange(4, at::kFloat)}});
  at::Tensor tensor = SafetensorsFile(path()).tensor("x");
  tensor.fill_(7);
  EXPECT_TRUE(at::equal(SafetensorsFile(path()).tensor("x"), at::arange(4, at::kFloat)));
  EXPECT_TRUE(tensor.eq(7).all().item<bool>());
}

TEST_F(SafetensorsTest, TheSameTensorsGiveTheSameBytesInAnyOrder) {
  write_safetensors(path(), samples());
  const std::string first = read_file(path());
  NamedTensors reversed = samples();
  std::reverse(reversed.begin(), reversed.end());
  write_safetensors(directory_ / "y", reversed);
  EXPECT_EQ(read_file(directory_ / "y"), first);
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, first.data(), 8);
  EXPECT_EQ(header_bytes % 8, 0u);
}

TEST_F(SafetensorsTest, WriterRefusesWhatTheFormatDoesNotHave) {
  EXPECT_THROW(write_safetensors(path(), {{"x", at::zeros({1})}, {"x", at::ones({1})}}), Error);
  EXPECT_THROW(write_safetensors(path(), {{"__metadata__", at::zeros({1})}}), Error);
  EXPECT_THROW(write_safetensors(path(), {{"x", at::zeros({1}, at::kComplexDouble)}}), Error);
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(SafetensorsTest, EveryTruncationIsRefused) {
  write_safetensors(path(), {{"a", at::arange(3, at::kFloat)}, {"b", at::arange(2, at::kLong)}},
                    {{"k", "v"}});
  const std::string whole = read_file(path());
  for (size_t length = 0; length < whole.size(); ++length) {
    SCOPED_TRACE(length);
    write(whole.substr(0, length));
    expect_refusal("not a valid safetensors file");
  }
  write(whole + '\0');
  expect_refusal("the tensors need");
}

TEST_F(SafetensorsTest, EveryBrokenByteOfTheHeaderIsRefusedOrHarmless) {
  write_safetensors(path(), {{"a", at::arange(3, at::kFloat)}, {"b", at::arange(2, at::kLong)}},
                    {{"k", "v"}});
  const std::string whole = read_file(path());
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, whole.data(), 8);
  int64_t num_refused = 0;
  for (size_t at = 0; at < 8 + header_bytes; ++at) {
    for (char change : {'\x01', '\x80', '\x10'}) {
      std::string broken = whole;
      broken[at] = static_cast<char>(broken[at] ^ change);
      write(broken);
      try {
        const SafetensorsFile file(path());
        for (const auto& [name, tensor] : file.tensors())
          tensor.to(at::kDouble).sum().item<double>();
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kData) << error.what();
        ++num_refused;
      }
    }
  }
  EXPECT_GT(num_refused, static_cast<int64_t>(2 * header_bytes));
}

TEST_F(SafetensorsTest, MalformedHeadersAreRefused) {
  write(std::string(8, '\xff') + "{}");
  expect_refusal("a header of 18446744073709551615 bytes");
  const auto refused = [&](const std::string& header, size_t data_bytes, const std::string& part) {
    SCOPED_TRACE(header);
    write_header(header, data_bytes);
    expect_refusal(part);
  };
  const std::string f32 = R"("dtype":"F32",)";
  refused("[]", 0, "not a JSON object");
  refused("{", 0, "not JSON");
  refused("{\"\xff\":1}", 0, "not JSON");
  refused(std::string(5000, '['), 0, "not a JSON object");
  refused("", 0, "not a JSON object");
  refused("   ", 0, "not a JSON object");
  refused("{} {}", 0, "text after the end");
  refused("{,}", 0, "a string expected");
  refused(R"({"a" 1})", 0, "':' expected");
  refused(R"({"a":1})", 0, "not an object");
  refused(R"({"a":{}})", 0, "has no dtype");
  refused(R"({"a":{"dtype":"F31","shape":[],"data_offsets":[0,4]}})", 4, "unknown dtype 'F31'");
  refused(R"({"a":{"dtype":7,"shape":[],"data_offsets":[0,4]}})", 4, "has no dtype");
  refused(R"({"a":{)" + f32 + R"("data_offsets":[0,4]}})", 4, "has no shape");
  refused(R"({"a":{)" + f32 + R"("shape":[1]}})", 4, "no pair of data_offsets");
  refused(R"({"a":{)" + f32 + R"("shape":[1],"data_offsets":[0,4,8]}})", 4,
          "no pair of data_offsets");
  refused(R"({"a":{)" + f32 + R"("shape":[-1],"data_offsets":[0,4]}})", 4, "not a whole number");
  refused(R"({"a":{)" + f32 + R"("shape":[1.5],"data_offsets":[0,4]}})", 4, "not a whole number");
  refused(R"({"a":{)" + f32 + R"("shape":[1],"data_offsets":[-4,0]}})", 4, "not a whole number");
  refused(R"({"a":{)" + f32 + R"("shape":[1],"data_offsets":[4,0]}})", 4, "need 4 bytes");
  refused(R"({"a":{)" + f32 + R"("shape":[2],"data_offsets":[0,4]}})", 4, "need 8 bytes");
  refused(R"({"a":{)" + f32 + R"("shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0,
          "too large");
  refused(R"({"a":{)" + f32 + R"("shape":[0,4611686018427387904,8],"data_offsets":[0,0]}})", 0,
          "too large");
  refused(R"({"a":{)" + f32 + R"("shape":[18446744073709551615],"data_offsets":[0,4]}})", 4,
          "too large");
  refused(R"({"a":{)" + f32 + R"("shape":[1e400],"data_offsets":[0,4]}})", 4, "not a whole number");
  refused(R"({"a":{)" + f32 + R"("shape":[1],"data_offsets":[4,8]}})", 8, "begins at byte 4");
  refused(R"({"a":{)" + f32 + R"("shape":[1],"data_offsets":[0,4]}})", 8, "the file has 8");
  refused(R"({"a":{)" + f32 + R"("shape":[1],"data_offsets":[0,4]},"b":{)" + f32 +
              R"("shape":[1],"data_offsets":[0,4]}})",
          4, "begins at byte 0");
  refused(R"({"a":{)" + f32 + R"("shape":[1],"data_offsets":[0,4]},"b":{)" + f32 +
              R"("shape":[1],"data_offsets":[8,12]}})",
          12, "begins at byte 8");
  refused(R"({"a":{)" + f32 + R"("shape":[1],"data_offsets":[0,4]},"a":{)" + f32 +
              R"("shape":[1],"data_offsets":[4,8]}})",
          8, "'a' twice");
  refused(R"({"a":{)" + f32 + R"("dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4,
          "'dtype' twice");
  refused(R"({"a":{)" + f32 + R"("shape":[1],"data_offsets":[0,4],"x":1}})", 4,
          "unknown field 'x'");
  refused(R"({"__metadata__":{"k":1}})", 0, "not a string");
  refused(R"({"__metadata__":[]})", 0, "not an object");
}

TEST_F(SafetensorsTest, EachFieldBrokenInEachWayIsRefusedAndNamed) {
  const std::map<std::string, std::string> sound{
      {"dtype", R"("F32")"}, {"shape", "[2]"}, {"data_offsets", "[0,8]"}};
  const auto header_of = [](const std::map<std::string, std::string>& fields) {
    std::string text = R"({"layer.weight":{)";
    for (const auto& [key, value] : fields) {
      if (!value.empty())
        text += fmt::format("{}\"{}\":{}", text.back() == '{' ? "" : ",", key, value);
    }
    return text + "}}";
  };
  write_header(header_of(sound), 8);
  EXPECT_EQ(SafetensorsFile(path()).tensor("layer.weight").numel(), 2);

  const std::vector<std::string> never_sound{"",
                                             "null",
                                             "true",
                                             "{}",
                                             "7",
                                             "-1",
                                             "1.5",
                                             R"("")",
                                             R"("x")",
                                             "[[2]]",
                                             "[null]",
                                             R"(["2"])",
                                             "[-2]",
                                             "[2.0]",
                                             "[2e0]",
                                             "[02]",
                                             "[+2]",
                                             "[2,]",
                                             "[,2]",
                                             "[2",
                                             "2]",
                                             "[0x2]",
                                             "[NaN]",
                                             "[9223372036854775807]",
                                             "[9223372036854775808]",
                                             "[18446744073709551615]",
                                             "[18446744073709551616]",
                                             "[340282366920938463463374607431768211456]",
                                             "[8,0]",
                                             "[0,7]",
                                             "[1,9]",
                                             "[0,16]",
                                             "[0,0]",
                                             "[0,8,8]",
                                             "[3]",
                                             "[1,1]",
                                             "[2,2]",
                                             R"("f32")",
                                             R"("F32 ")",
                                             R"("I32x")",
                                             R"("F64")",
                                             R"("F16")",
                                             R"("C64")",
                                             R"("F4")"};
  int64_t num_refused = 0;
  for (const auto& [field, value] : sound) {
    for (const std::string& junk : never_sound) {
      std::map<std::string, std::string> broken = sound;
      broken[field] = junk;
      SCOPED_TRACE(header_of(broken));
      write_header(header_of(broken), 8);
      expect_refusal("not a valid safetensors file");
      ++num_refused;
    }
  }
  EXPECT_EQ(num_refused, 3 * static_cast<int64_t>(never_sound.size()));
}

TEST_F(SafetensorsTest, OnlyUtf8IsText) {
  const auto name = [&](const std::string& text) {
    return "{\"" + text + R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
  };
  const std::vector<std::string> broken{"\x80",
                                        "\xff",
                                        "\xc3",
                                        "\xc3(",
                                        "\xc0\xaf",
                                        "\xc1\xbf",
                                        "\xe2\x82",
                                        "\xe0\x80\x80",
                                        "\xed\xa0\x80",
                                        "\xf0\x80\x80\x80",
                                        "\xf4\x90\x80\x80",
                                        "\xf5\x80\x80\x80",
                                        "\xe2(\xa1",
                                        "\n",
                                        std::string(1, '\0'),
                                        "\\x",
                                        "\\u12",
                                        "\\u12g4",
                                        "\\ud800",
                                        "\\udc00",
                                        "\\ud800\\u0041",
                                        "\\ud800\\n",
                                        "\\"};
  for (const std::string& text : broken) {
    SCOPED_TRACE(::testing::PrintToString(text));
    write_header(name(text), 1);
    expect_refusal("not JSON");
  }
  const std::vector<std::pair<std::string, std::string>> sound{
      {"\xc3\xa9", "\xc3\xa9"},
      {"\xed\x9f\xbf", "\xed\x9f\xbf"},
      {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
      {"\\u00E9", "\xc3\xa9"},
      {"\\ud83d\\ude00", "\xf0\x9f\x98\x80"},
      {"\\u20ac", "\xe2\x82\xac"},
      {R"(\"\\\/\b\f\n\r\t)", "\"\\/\b\f\n\r\t"}};
  for (const auto& [text, meaning] : sound) {
    SCOPED_TRACE(text);
    write_header(name(text), 1);
    EXPECT_EQ(SafetensorsFile(path()).entries().at(0).name, meaning);
  }
}

TEST_F(SafetensorsTest, WhatWeAcceptTheReferenceImplementationReadsAlike) {
  write_safetensors(path(), {{"a", at::arange(3, at::kFloat)}, {"b", at::arange(2, at::kLong)}},
                    {{"k", "v"}});
  const std::string whole = read_file(path());
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, whole.data(), 8);
  const testing::TemporaryDirectory accepted;
  int64_t count = 0;
  for (size_t at = 0; at < 8 + header_bytes; ++at) {
    for (int change = 1; change < 256; change += 3) {
      std::string broken = whole;
      broken[at] = static_cast<char>(broken[at] ^ change);
      write(broken);
      try {
        const SafetensorsFile file(path());
        const NamedTensors tensors = file.tensors();
        const auto stem = fmt::format("{}", count++);
        std::filesystem::copy_file(path(), accepted / (stem + ".in.safetensors"));
        write_safetensors(accepted / (stem + ".ours.safetensors"), tensors);
      } catch (const Error&) {
      }
    }
  }
  ASSERT_GT(count, 50);
  BALEEN_RUN_ORACLE("reads_alike.py", accepted.path());
  std::printf("[  ACCEPTED] %ld of the broken headers, all read alike\n", static_cast<long>(count));
}

TEST_F(SafetensorsTest, UnalignedTensorsAreCopied) {
  std::string header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                       R"("b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  write_header(header, 9);
  const SafetensorsFile file(path());
  const at::Tensor b = file.tensor("b");
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b.const_data_ptr()) % 4, 0u);
  EXPECT_EQ(b[0].item<float>(), b[1].item<float>());
  EXPECT_EQ(b.view(at::kInt)[0].item<int>(), 0x01010101);
}

TEST_F(SafetensorsTest, AMissingFileAndADirectoryAreNamed) {
  expect_refusal("there is no file");
  std::filesystem::create_directory(path());
  expect_refusal("not a regular file");
}

}  // namespace
}  // namespace baleen
