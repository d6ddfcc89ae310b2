#include "experiments/records/tensorboard_writer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <string>

#include "core/base/digest.h"
#include "core/base/stopwatch.h"

namespace baleen {
namespace {

template <class Integer>
void put_little_endian(std::string& out, Integer value) {
  for (size_t i = 0; i < sizeof(Integer); ++i) {
    out.push_back(static_cast<char>((value >> (8 * i)) & 0xff));
  }
}

// The protocol buffer wire format: a key (field number and wire type), then the value.
enum WireType : uint64_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void put_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>((value & 0x7f) | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

void put_key(std::string& out, uint64_t field, WireType type) {
  put_varint(out, field << 3 | type);
}

void put_bytes(std::string& out, uint64_t field, std::string_view bytes) {
  put_key(out, field, kBytes);
  put_varint(out, bytes.size());
  out += bytes;
}

// Field numbers of tensorflow.Event, tensorflow.Summary and tensorflow.SessionLog.
constexpr uint64_t kEventWallTime = 1, kEventStep = 2, kEventFileVersion = 3, kEventSummary = 5,
                   kEventSessionLog = 7;
constexpr uint64_t kSummaryValue = 1, kValueTag = 1, kValueSimple = 2;
constexpr uint64_t kSessionStatus = 1, kSessionStart = 1;

std::string event(double time_s, int64_t step) {
  std::string out;
  put_key(out, kEventWallTime, kFixed64);
  put_little_endian(out, std::bit_cast<uint64_t>(time_s));
  put_key(out, kEventStep, kVarint);
  put_varint(out, static_cast<uint64_t>(step));
  return out;
}

// TFRecord stores checksums rotated and shifted, so that the checksum of data that holds checksums
// stays sound.
uint32_t masked_crc(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8u; }

std::string record(std::string_view payload) {
  std::string out;
  put_little_endian(out, static_cast<uint64_t>(payload.size()));
  put_little_endian(out, masked_crc(out));
  out += payload;
  put_little_endian(out, masked_crc(payload));
  return out;
}

}  // namespace

TensorBoardWriter::TensorBoardWriter(const std::filesystem::path& folder,
                                     std::optional<int64_t> restart_step) {
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  if (code) throw storage_error("make folder", folder, code.value());
  char host[256] = "host";
  gethostname(host, sizeof host - 1);
  static std::atomic<int> num_files =
      0;  // two files of one process and second must not share a name
  const double time_s = unix_seconds();
  const std::string name = fmt::format("events.out.tfevents.{}.{}.{}.{}",
                                       static_cast<int64_t>(time_s), host, getpid(), num_files++);
  file_.emplace(folder / name, AppendFile::Sync::kNone);

  std::string version = event(time_s, 0);
  put_bytes(version, kEventFileVersion, "brain.Event:2");
  file_->append(record(version));
  if (!restart_step) return;
  std::string session;
  put_key(session, kSessionStatus, kVarint);
  put_varint(session, kSessionStart);
  std::string restart = event(time_s, *restart_step);
  put_bytes(restart, kEventSessionLog, session);
  file_->append(record(restart));
}

void TensorBoardWriter::add_scalar(std::string_view tag, double value, int64_t step,
                                   double time_s) {
  std::string point;
  put_bytes(point, kValueTag, tag);
  put_key(point, kValueSimple, kFixed32);
  put_little_endian(point, std::bit_cast<uint32_t>(static_cast<float>(value)));
  std::string summary;
  put_bytes(summary, kSummaryValue, point);
  std::string out = event(time_s, step);
  put_bytes(out, kEventSummary, summary);
  file_->append(record(out));
}

void TensorBoardWriter::add(const MetricsRecord& r) {
  const auto put = [&](std::string_view tag, double value) {
    if (std::isfinite(value)) add_scalar(tag, value, r.step, r.time_s);
  };
  put("train/loss", r.train_loss);
  put("train/lr", r.lr);
  put("train/samples_per_s", r.samples_per_s);
  put("train/size_px", double(r.size_px));
  for (const auto& [name, value] : r.val) put("val/" + name, value);
}

}  // namespace baleen
