#include "data/pack/idx.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <memory>

#include "core/base/error.h"

namespace baleen {
namespace {

struct CloseGzip {
  void operator()(gzFile file) const { gzclose_r(file); }
};
using GzipFile = std::unique_ptr<gzFile_s, CloseGzip>;

// Reads up to `size` bytes; fewer at the end of the file. Plain files pass through zlib unchanged.
size_t read_up_to(gzFile file, const std::filesystem::path& path, uint8_t* out, size_t size) {
  constexpr size_t kPiece = size_t{1} << 24;
  size_t done = 0;
  while (done < size) {
    const int got = gzread(file, out + done, static_cast<unsigned>(std::min(kPiece, size - done)));
    if (got < 0) {
      int code = 0;
      throw Error(ErrorKind::kData, path.string() + " is damaged: " + gzerror(file, &code));
    }
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  // zlib reports a stream that stops early only here.
  int code = Z_OK;
  const char* message = gzerror(file, &code);
  if (code != Z_OK && code != Z_STREAM_END && done < size)
    throw Error(ErrorKind::kData, path.string() + " is cut short: " + message);
  return done;
}

void read_exactly(gzFile file, const std::filesystem::path& path, std::vector<uint8_t>& out) {
  const size_t got = read_up_to(file, path, out.data(), out.size());
  if (got < out.size())
    throw Error(ErrorKind::kData, fmt::format("{} is cut short: {} of {} bytes are there",
                                              path.string(), got, out.size()));
}

}  // namespace

IdxArray read_idx(const std::filesystem::path& file) {
  if (!std::filesystem::is_regular_file(file))
    throw Error(ErrorKind::kData, file.string() + " does not exist",
                "check images and labels_file");
  const GzipFile opened(gzopen(file.c_str(), "rb"));
  if (!opened) throw Error(ErrorKind::kStorage, "can't open " + file.string());
  std::vector<uint8_t> magic(4);
  read_exactly(opened.get(), file, magic);
  constexpr uint8_t kBytes = 0x08;
  if (magic[0] != 0 || magic[1] != 0 || magic[2] != kBytes || magic[3] < 1 || magic[3] > 4)
    throw Error(
        ErrorKind::kData,
        fmt::format("{} is no IDX file of bytes (it begins with {:02x} {:02x} {:02x} {:02x})",
                    file.string(), magic[0], magic[1], magic[2], magic[3]));
  IdxArray array;
  std::vector<uint8_t> dimensions(size_t{4} * magic[3]);
  read_exactly(opened.get(), file, dimensions);
  int64_t count = 1;
  constexpr int64_t kMostBytes = int64_t{1} << 37;
  for (size_t d = 0; d < magic[3]; ++d) {
    int64_t extent = 0;
    for (size_t i = 0; i < 4; ++i) extent = extent << 8 | dimensions[4 * d + i];
    array.shape.push_back(extent);
    if (__builtin_mul_overflow(count, extent, &count) || count > kMostBytes)
      throw Error(ErrorKind::kData, file.string() + " claims an impossible size");
  }
  // Grows with what is there, so that a crafted header can't ask for memory that no file fills.
  constexpr int64_t kPiece = int64_t{1} << 26;
  while (static_cast<int64_t>(array.values.size()) < count) {
    const size_t done = array.values.size();
    const auto piece = static_cast<size_t>(std::min(kPiece, count - static_cast<int64_t>(done)));
    array.values.resize(done + piece);
    const size_t got = read_up_to(opened.get(), file, array.values.data() + done, piece);
    if (got < piece)
      throw Error(ErrorKind::kData, fmt::format("{} is cut short: {} of {} values are there",
                                                file.string(), done + got, count));
  }
  uint8_t beyond = 0;
  if (read_up_to(opened.get(), file, &beyond, 1) != 0)
    throw Error(ErrorKind::kData, fmt::format("{} goes on after the {} values that it announces",
                                              file.string(), count));
  return array;
}

}  // namespace baleen
